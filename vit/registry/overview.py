"""`python -m vit.registry list` and `diff`: what versions there are, how they did, and in what two of them differ."""

import argparse
from statistics import NormalDist

from vit.config.params_file import load_params
from vit.config.schema import Params
from vit.registry.champions import ROLLED_BACK
from vit.registry.versions import find_version, registry

DATA = ("train_sha256", "val_sha256", "md5/data/raw", "md5/data/splits")
CODE = ("mlflow.source.git.commit", "git_dirty", "dvc_exp_name")


def add_to(subparsers) -> None:
    """Add the commands `list` and `diff`."""
    listing = subparsers.add_parser("list", help="all versions with their accuracies, and what the gate said")
    listing.set_defaults(run=show_list)
    differing = subparsers.add_parser("diff", help="parameters, metrics, data and code in which two versions differ")
    differing.add_argument("versions", nargs=2, metavar="V", help="number or alias of a version")
    differing.set_defaults(run=show_diff)


def show_list(arguments: argparse.Namespace) -> None:
    """Print a line per version, the newest first."""
    params = load_params()
    name = params.register_.name
    with registry() as client:
        aliases: dict[str, list[str]] = {}
        for alias, number in client.get_registered_model(name).aliases.items():
            aliases.setdefault(str(number), []).append(alias)
        versions = client.search_model_versions(f"name = '{name}'")
    rows = [["version", "aliases", "val accuracy", "test accuracy", "verdict"]]
    for version in sorted(versions, key=lambda version: -int(version.version)):
        rows.append(
            [
                str(version.version),
                " ".join(sorted(aliases.get(str(version.version), []))) or "-",
                _val_accuracy(version.tags, params),
                _with_interval(*(version.tags.get(f"test_accuracy{end}") for end in ("", "_low", "_high"))),
                _verdict(version.tags),
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_diff(arguments: argparse.Namespace) -> None:
    """Print what differs, in four groups; a group in which nothing does is not shown."""
    name = load_params().register_.name
    with registry() as client:
        versions = [find_version(client, name, asked) for asked in arguments.versions]
        runs = [client.get_run(version.run_id).data for version in versions]
    tags = [run.tags | version.tags for run, version in zip(runs, versions, strict=True)]
    metrics = set().union(*(run.metrics for run in runs))
    groups = {
        "params": [run.params for run in runs],
        "metrics": [{key: value for key, value in one.items() if key in metrics} for one in tags],
        "data": [{key: one[key] for key in DATA if key in one} for one in tags],
        "code": [{key: one[key] for key in CODE if key in one} for one in tags],
    }
    print(f"version {versions[0].version} -> version {versions[1].version} of '{name}'")
    differences = {title: differing(*both) for title, both in groups.items()}
    for title, lines in differences.items():
        if lines:
            print("\n".join([title, *(f"  {line}" for line in lines)]))
    if not any(differences.values()):
        print("no difference in params, metrics, data or code")


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """A line per key whose values differ, or that one of them lacks."""
    keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    width = max(map(len, keys), default=0)
    return [f"{key.ljust(width)}  {one.get(key, '-')} -> {other.get(key, '-')}" for key in keys]


def wilson(share: float, count: int, confidence: float) -> tuple[float, float]:
    """The interval of a share of `count` trials (Wilson 1927)."""
    squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    spread = (squared * (share * (1 - share) / count + squared / (4 * count**2))) ** 0.5 / (1 + squared / count)
    return centre - spread, centre + spread


def _val_accuracy(tags: dict[str, str], params: Params) -> str:
    """Image by image, while the intervals on test may heed groups."""
    if not {"best_val_accuracy", "val_images"} <= tags.keys():
        return "-"
    share = float(tags["best_val_accuracy"])
    low, high = wilson(share, int(float(tags["val_images"])), params.evaluate.confidence_level)
    return _with_interval(str(share), str(low), str(high))


def _with_interval(value: str | None, low: str | None, high: str | None) -> str:
    if value is None:
        return "-"
    interval = "" if low is None or high is None else f" ({float(low):.4f} to {float(high):.4f})"
    return f"{float(value):.4f}{interval}"


def _verdict(tags: dict[str, str]) -> str:
    """What the gate said last, and what people did since."""
    found = []
    if "gate/decision" in tags:
        against = "" if tags["gate/champion"] == "none" else f" against {tags['gate/champion']}"
        found.append(f"{tags['gate/decision']}{against}: {tags['gate/outcome']}")
    if "promoted_by_hand" in tags:
        found.append(f"promoted by hand: {tags['promoted_by_hand']}")
    if ROLLED_BACK in tags:
        found.append(f"rolled back: {tags[ROLLED_BACK]}")
    return "; ".join(found) or "-"
