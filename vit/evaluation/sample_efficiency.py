"""Sample efficiency: accuracy on the same test images by number of train images, for each model."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from matplotlib.figure import Figure

from vit.errors import UserError
from vit.evaluation.bootstrap import share_interval
from vit.evaluation.paired import paired_bootstrap, verdict
from vit.evaluation.plots import save_figure


@dataclass(frozen=True)
class Result:
    """The result of one training on its test split.

    `subset` is split.subset_per_class as text; `repeat` holds seeds and fold, and `deal` those of them that determine
    the test split; `trained` and `tested` are digests of the images. `groups` and `right` (N,) belong to the test
    images, in the order of `paths`.
    """

    run: str
    model: str
    subset: str
    repeat: tuple[str, ...]
    deal: tuple[str, ...]
    trained: str
    tested: str
    per_class: float
    nearest_neighbour: float
    paths: list[str]
    groups: np.ndarray
    right: np.ndarray


Points = dict[tuple[str, str], list[Result]]


def comparable(results: list[Result]) -> tuple[Points, list[str]]:
    """The results by model and subset, each with the same repeats in the same order, and a note on omitted runs.

    Subsets with the same images are merged, such as sizes above the class size; of equal trainings the first counts.
    Raises UserError if there are fewer than two sizes, if runs of one deal have different test images, or if no repeat
    is common to all.
    """
    names = _names_of_subsets(results)
    if len(set(names.values())) < 2:
        raise UserError(
            f"{len(results)} finished run(s) match params.yaml, with fewer than two values of split.subset_per_class; "
            "start more with `dvc exp run --queue -S split.subset_per_class=25,50,100` and `dvc queue start`"
        )
    judged: dict[tuple[str, ...], Result] = {}
    for result in results:
        first = judged.setdefault(result.deal, result)
        if (first.tested, first.paths) != (result.tested, result.paths):
            raise UserError(
                f"runs '{first.run}' and '{result.run}' were evaluated on different test images; train them all on the "
                "same data, or delete the older ones in MLflow"
            )
    repeats: dict[tuple[str, str], dict[tuple[str, ...], Result]] = defaultdict(dict)
    for result in results:
        repeats[result.model, names[result.subset]].setdefault(result.repeat, result)
    common = set.intersection(*(set(found) for found in repeats.values()))
    if not common:
        raise UserError("the models and sizes have no seed or fold in common; train each with the same ones")
    kept = {point: [found[repeat] for repeat in sorted(common)] for point, found in repeats.items()}
    left = sum(map(len, repeats.values())) - sum(map(len, kept.values()))
    note = (
        [f"{left} run(s) omitted because not every model and size has one with the same seeds and fold"] if left else []
    )
    return dict(sorted(kept.items(), key=lambda item: (_rank(item[0][0]), _size(item[1])))), note


def _names_of_subsets(results: list[Result]) -> dict[str, str]:
    """One name for all subsets that have the same images in any repeat."""
    names: dict[str, str] = {}
    first_with: dict[str, str] = {}
    for result in sorted(results, key=lambda result: result.subset):
        first = first_with.setdefault(result.trained, result.subset)
        names[result.subset] = min(names.get(result.subset, result.subset), names.get(first, first))
    return names


def _rank(model: str) -> tuple[bool, str]:
    return model != "vit", model


def _size(results: list[Result]) -> float:
    return mean(result.per_class for result in results)


def curve(points: Points, confidence: float, seed: int) -> list[dict]:
    """One row per model and size. The interval is bootstrapped by group over the test images of all repeats.

    `spread` is the standard deviation over the repeats, None for a single one.
    """
    rows = []
    for (model, _), results in points.items():
        right, groups = _together(results)
        low, high = share_interval(right, groups, confidence, seed)
        accuracies = [float(result.right.mean()) for result in results]
        rows.append(
            {
                "model": model,
                "per_class": round(_size(results), 1),
                "runs": len(results),
                "accuracy": float(right.mean()),
                "low": low,
                "high": high,
                "spread": stdev(accuracies) if len(accuracies) > 1 else None,
                "nearest_neighbour": mean(result.nearest_neighbour for result in results),
            }
        )
    return rows


def _together(results: list[Result]) -> tuple[np.ndarray, np.ndarray]:
    right = np.concatenate([result.right for result in results])
    return right, np.concatenate([result.groups for result in results])


def differences(points: Points, confidence: float, seed: int) -> list[dict]:
    """For each pair of models and each common size: accuracy of the first minus the second, with its verdict.

    Paired by image; the interval is bootstrapped by group.
    """
    rows = []
    for first, second in combinations(dict.fromkeys(model for model, _ in points), 2):
        for (model, subset), results in points.items():
            if model == first and (second, subset) in points:
                right, groups = _together(results)
                other, _ = _together(points[second, subset])
                difference, low, high = paired_bootstrap(other, right, groups, confidence, seed)
                size = {"per_class": round(_size(results), 1), "difference": difference, "low": low, "high": high}
                rows.append({"first": first, "second": second} | size | {"verdict": verdict(low, high)})
    return rows


def crossings(rows: list[dict]) -> list[str]:
    """Where the curves of two models in `differences` cross, as sentences.

    Statements based on differences that may be luck are marked inconclusive.
    """
    pairs: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in rows:
        pairs[row["first"], row["second"]].append(row)
    sentences = []
    for (first, second), found in pairs.items():
        apart = [row for row in found if row["difference"]]
        changes = [(a, b) for a, b in pairwise(apart) if (a["difference"] > 0) != (b["difference"] > 0)]
        for a, b in changes:
            passing, passed = (first, second) if b["difference"] > 0 else (second, first)
            doubt = "" if _is_shown(a) and _is_shown(b) else ", inconclusive"
            between = f"between {a['per_class']:g} and {b['per_class']:g} train images per class"
            sentences.append(f"{passing} overtakes {passed} {between}{doubt}")
        if not changes:
            leader, other = (first, second) if apart and apart[0]["difference"] > 0 else (second, first)
            how = f"{leader} is ahead of {other}" if apart else f"{first} and {second} are equal"
            doubt = ", inconclusive everywhere" if apart and not any(map(_is_shown, apart)) else ""
            sentences.append(f"{how} at every size{doubt}")
    return sentences


def _is_shown(row: dict) -> bool:
    return row["verdict"] != "inconclusive"


def draw(path: Path, rows: list[dict], test_images: int, confidence: float) -> None:
    """The rows of `curve` as a PNG: one line per model with its interval, and nearest neighbour; log scale."""
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        sizes = [row["per_class"] for row in own]
        (line,) = axes.plot(sizes, [row["accuracy"] for row in own], marker="o", markersize=4, label=model)
        if all(row["low"] is not None for row in own):
            low, high = ([row[end] for row in own] for end in ("low", "high"))
            axes.fill_between(sizes, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    nearest = sorted({(row["per_class"], row["nearest_neighbour"]) for row in rows})
    axes.plot(*zip(*nearest, strict=True), color="grey", linestyle=":", label="1-nearest neighbour")
    axes.set_xscale("log")
    sizes = sorted({row["per_class"] for row in rows})
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set(
        title=f"Sample efficiency on {test_images} test images ({confidence:.0%} interval)",
        xlabel="train images per class",
        ylabel="test accuracy",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)
