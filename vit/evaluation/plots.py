"""Figures as PNG files, reproducible byte for byte."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vit.evaluation.fonts import use_fonts_that_show
from vit.files import replacing


def training_curves(path: Path, history: list[dict], best: int, learning_rates: list[float]) -> None:
    """Loss and accuracy (per epoch, with `best` marked) and learning rate (per optimizer step), side by side."""
    figure = Figure(figsize=(15, 4), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in history]
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for part in ("train", "val"):
            axes.plot(epochs, [row[f"{part}_{name}"] for row in history], marker=".", markersize=4, label=part)
        axes.axvline(best, color="grey", linestyle=":", label=f"best epoch ({best})")
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.legend()
    accuracy.set_ylim(top=1)
    rate.plot(range(len(learning_rates)), learning_rates)
    rate.set(title="Learning rate", xlabel="optimizer step")
    for axes in (loss, accuracy, rate):
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def confusion_figure(path: Path, counts: np.ndarray, classes: list[str]) -> None:
    """Counts (K, K): one row per true class, one column per predicted class, shaded by the share of the row."""
    side = max(4.0, 0.5 * len(classes) + 2)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of true class")
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=90 if max(map(len, classes)) > 2 else 0, parse_math=False)
    axes.set_yticks(ticks, classes, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix, test")
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(counts):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade)
    save_figure(figure, path)


def reliability_figure(path: Path, tables: dict[str, list[dict]]) -> None:
    """Accuracy by confidence bin, one line per table of `reliability_rows`; a dot's area shows its image count."""
    figure = Figure(figsize=(6, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect calibration")
    for color, (name, rows) in zip(("tab:orange", "tab:blue"), tables.items(), strict=True):
        filled = [row for row in rows if row["images"]]
        confidence, accuracy = ([row[column] for row in filled] for column in ("confidence", "accuracy"))
        images = np.array([row["images"] for row in filled])
        axes.plot(confidence, accuracy, color=color, label=name)
        axes.scatter(confidence, accuracy, 10 + 400 * images / images.sum(), color=color, alpha=0.5)
    axes.set(xlabel="confidence", ylabel="accuracy", title="Reliability diagram, test", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def contact_sheet(path: Path, images: np.ndarray, captions: list[str], none: str = "no mistakes") -> None:
    """Images (N, H, W, C) in [0, 1] in rows of 8, each with a two-line caption; without images, the note `none`.

    All are drawn on one pair of axes: separate axes would take seconds.
    """
    columns, rows = min(8, max(2, len(images))), max(1, -(-len(images) // 8))
    height = 1.0 if len(images) == 0 else images.shape[1] / images.shape[2]
    figure = Figure(figsize=(1.6 * columns, 1.6 * rows * (height + 0.35)))
    axes = figure.add_axes((0, 0, 1, 1))
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = index % 8, (height + 0.35) * (index // 8)
        extent = (left + 0.03, left + 0.97, top + 0.32 + 0.94 * height, top + 0.32)
        axes.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent)
        axes.text(left + 0.5, top + 0.29, caption, ha="center", va="bottom", fontsize=8, parse_math=False)
    if len(images) == 0:
        axes.text(1, height / 2, none, ha="center", va="center")
    axes.set(xlim=(0, columns), ylim=(rows * (height + 0.35), 0))
    axes.set_axis_off()
    save_figure(figure, path)


def batch_grid(path: Path, images: np.ndarray, shares: np.ndarray, classes: list[str]) -> None:
    """Images uint8 (B, H, W, C) in rows of 8, titled with the classes that have a share (B, K) in them."""
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[1:3]
    figure = Figure(figsize=(1.6 * columns, rows * (1.6 * height / width + 0.3)), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, image, share in zip(panels, images, shares, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(_caption(share, classes), fontsize=8, parse_math=False)
    save_figure(figure, path)


def _caption(shares: np.ndarray, classes: list[str]) -> str:
    """`cat`, or `cat 70 %, dog 30 %`, largest share first."""
    present = [index for index in np.argsort(-shares, kind="stable") if shares[index] > 0]
    if len(present) == 1:
        return classes[present[0]]
    return ", ".join(f"{classes[index]} {100 * shares[index]:.0f} %" for index in present)


def save_figure(figure: Figure, path: Path) -> None:
    use_fonts_that_show(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
