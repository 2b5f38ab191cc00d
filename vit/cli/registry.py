"""`vit registry`: the versions of the registered model."""

import json
import signal
import sys

import click

from vit.cli.command import command, json_option, print_json
from vit.errors import Interrupted

VERSION = "Number or alias of a version."
MODEL = "models:/NAME@ALIAS or models:/NAME/VERSION."


@click.group(epilog="\b\nExample:\n  vit registry list")
def registry() -> None:
    """List, compare, promote and verify the model's versions."""


def model_name() -> str:
    from vit.config.params_file import load_params

    return load_params().register_.name


@command("vit registry list", "list", to=registry)
@json_option(
    "a list with one object per version: version, aliases, val_accuracy and test_accuracy (each value, low and high, "
    "or null), test_looks (runs scored on the same test images by then, or null), verdict (text or null)"
)
def list_versions(as_json: bool) -> None:
    """List all versions with the gate's verdicts."""
    from vit.config.params_file import load_params
    from vit.registry.overview import versions_of

    params = load_params()
    found = versions_of(params.register_.name, params.evaluate.confidence_level)
    if as_json:
        print_json(found)
        return
    rows = [["version", "aliases", "val accuracy", "test accuracy", "looks", "verdict"]]
    for one in found:
        accuracies = (_with_interval(one[name]) for name in ("val_accuracy", "test_accuracy"))
        looks = "-" if one["test_looks"] is None else str(one["test_looks"])
        rows.append([str(one["version"]), " ".join(one["aliases"]) or "-", *accuracies, looks, one["verdict"] or "-"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _with_interval(accuracy: dict[str, float] | None) -> str:
    if accuracy is None:
        return "-"
    low, high = accuracy["low"], accuracy["high"]
    interval = "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"
    return f"{accuracy['value']:.4f}{interval}"


@command("vit registry diff 1 champion", to=registry)
@click.argument("one", metavar="V", help=VERSION)
@click.argument("other", metavar="W", help="Same forms as V.")
@json_option("one object: name, versions, and params, metrics, data and code (each key with its two values, or null)")
def diff(one: str, other: str, as_json: bool) -> None:
    """Show differences in parameters, metrics, data and code."""
    from vit.registry.overview import difference

    found = difference(model_name(), (one, other))
    if as_json:
        print_json(found)
        return
    first, second = found["versions"]
    print(f"version {first} -> version {second} of '{found['name']}'")
    groups = {title: found[title] for title in ("params", "metrics", "data", "code")}
    for title, changes in groups.items():
        if changes:
            print(title)
        width = max(map(len, changes), default=0)
        for key, values in changes.items():
            old, new = ("-" if value is None else value for value in values)
            print(f"  {key.ljust(width)}  {old} -> {new}")
    if not any(groups.values()):
        print("no difference in params, metrics, data or code")


@command("vit registry promote 2 --reason 'better on the night frames'", to=registry)
@click.argument("version", metavar="V", help=VERSION)
@click.option("--reason", required=True, metavar="TEXT", help="Reason, stored with the version.")
def promote(version: str, reason: str) -> None:
    """Make a version champion, overriding the gate."""
    from vit.registry import promotion

    name = model_name()
    promoted, champion = promotion.promote(name, version, reason)
    before = "there was none before" if champion is None else f"it replaces version {champion.version}"
    print(f"version {promoted.version} of '{name}' is now champion; {before}")


@command("vit registry rollback --reason 'wrong on the night frames'", to=registry)
@click.option("--reason", default="no reason given", metavar="TEXT", help="Reason, stored with the version.")
def rollback(reason: str) -> None:
    """Return to the previous champion."""
    from vit.registry import promotion

    name = model_name()
    left, returned = promotion.rollback(name, reason)
    print(f"version {returned.version} of '{name}' is champion again; version {left.version} was rolled back")


@command("vit registry trace models:/vit@champion", to=registry)
@click.argument("model", metavar="URI", help=MODEL)
@json_option("one object with the sections model, code, experiment, data, md5, params, environment, metrics")
def trace(model: str, as_json: bool) -> None:
    """Print a version's provenance."""
    from vit.registry.provenance import provenance_of
    from vit.registry.trace import traced

    with provenance_of(model) as provenance:
        found = traced(provenance)
    if as_json:
        print_json(found)
        return
    for block, entries in found.items():
        print(block)
        width = max(map(len, entries), default=0) + 2
        for name, value in entries.items():
            # Spelled as in YAML, so that a parameter can be copied to params.yaml.
            spelled = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            print(f"  {name.ljust(width)}{spelled}")


@command("vit registry verify models:/vit@champion", to=registry)
@click.argument("model", metavar="URI", help=MODEL)
@click.option("--retrain", is_flag=True, help="Also train again and compare the weights byte for byte.")
@json_option(
    "one object: model, version, retrained, verified, reason (null if verified), predictions (their number) and "
    "largest_difference of a probability (both null if not verified); the steps are printed to stderr"
)
def verify(model: str, retrain: bool, as_json: bool) -> None:
    """Rebuild a version's state and compare its predictions.

    Evaluates the published weights again, in a temporary worktree with the version's commit, parameters and data.
    """
    from vit.registry import verify as verification
    from vit.registry.provenance import provenance_of

    def say(step: str, text: str) -> None:
        print(f"{step.ljust(13)}{text}", file=sys.stderr if as_json else sys.stdout, flush=True)

    for one in (signal.SIGINT, signal.SIGTERM):  # a shell that starts it in the background ignores SIGINT
        signal.signal(one, _interrupt)
    try:
        with provenance_of(model) as provenance:
            found = {"model": model, "version": int(provenance.version.version), "retrained": retrain}
            title = provenance.title
            try:
                count, largest = verification.verify(provenance, retrain, say)
            except verification.Refuted as refuted:
                if as_json:
                    nothing = {"predictions": None, "largest_difference": None}
                    print_json(found | {"verified": False, "reason": str(refuted)} | nothing)
                raise
    except KeyboardInterrupt as error:
        told = "interrupted: nothing was verified; the temporary worktree was removed"
        raise Interrupted(told, exit_status=130) from error
    if as_json:
        outcome = {"verified": True, "reason": None, "predictions": count, "largest_difference": largest}
        print_json(found | outcome)
        return
    also = ", and retraining there gives its weights" if retrain else ""
    print(f"verified: the rebuilt state of {title} gives its published predictions{also}")


def _interrupt(*_) -> None:
    raise KeyboardInterrupt
