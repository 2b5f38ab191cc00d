"""`vit folds`: mean and spread over the folds of a k-fold sweep."""

from vit.cli.command import command, json_option, print_json


@command("vit folds --json")
@json_option(
    "a list with one object per number of folds: folds, runs (fold and metrics of each), mean and std by metric (std "
    "is null for a single run), missing"
)
def folds(as_json: bool) -> None:
    """Show mean and spread over the folds of a sweep.

    Uses all finished runs that match params.yaml except for split.folds and split.fold.
    """
    from vit.registry.sweeps import folds_of_params

    found = folds_of_params()
    if as_json:
        print_json(found)
        return
    for summary in found:
        print(as_text(summary))


def as_text(summary: dict) -> str:
    """One line per fold, then mean, standard deviation and missing folds."""
    width = max(map(len, summary["mean"])) + 2
    lines = ["fold".ljust(6) + "".join(name.rjust(width) for name in summary["mean"])]
    rows = [(f"{run['fold']}", run) for run in summary["runs"]] + [("mean", summary["mean"])]
    if summary["std"] is not None:
        rows.append(("std", summary["std"]))
    for title, values in rows:
        lines.append(title.ljust(6) + "".join(f"{values[name]:.4f}".rjust(width) for name in summary["mean"]))
    if summary["missing"]:
        lines.append(f"missing: fold {', '.join(map(str, summary['missing']))} of {summary['folds']}")
    return "\n".join(lines)
