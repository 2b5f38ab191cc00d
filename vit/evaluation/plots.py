"""Figures as PNG files, with the same bytes for the same numbers."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vit.files import replacing


def training_curves(path: Path, history: list[dict], learning_rates: list[float]) -> None:
    """Loss, accuracy (a point per epoch) and learning rate (per optimizer step), side by side."""
    figure = Figure(figsize=(15, 4), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in history]
    best = max(history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for part in ("train", "val"):
            axes.plot(epochs, [row[f"{part}_{name}"] for row in history], marker=".", markersize=4, label=part)
        axes.axvline(best["epoch"], color="grey", linestyle=":", label=f"best epoch ({best['epoch']})")
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.legend()
    accuracy.set_ylim(top=1)
    rate.plot(range(len(learning_rates)), learning_rates)
    rate.set(title="Learning rate", xlabel="optimizer step")
    for axes in (loss, accuracy, rate):
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def confusion_figure(path: Path, counts: np.ndarray, classes: list[str]) -> None:
    """Counts (K, K) as a map: a row per true class, a column per predicted one, shaded by the share of the row."""
    side = max(4.0, 0.5 * len(classes) + 2)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class")
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=90 if max(map(len, classes)) > 2 else 0, parse_math=False)
    axes.set_yticks(ticks, classes, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix, test")
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(counts):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade)
    save_figure(figure, path)


def batch_grid(path: Path, images: np.ndarray, shares: np.ndarray, classes: list[str]) -> None:
    """At most 32 images (B, C, H, W) in [0, 1] in rows of 8, each under the names of the classes (B, K) it has a share
    of."""
    images, shares = images[:32], shares[:32]
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[2:]
    figure = Figure(figsize=(1.6 * columns, rows * (1.6 * height / width + 0.3)), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, image, share in zip(panels, images, shares, strict=False):
        axes.imshow(image.transpose(1, 2, 0).clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(_caption(share, classes), fontsize=8, parse_math=False)
    save_figure(figure, path)


def _caption(shares: np.ndarray, classes: list[str]) -> str:
    """`cat`, or `cat 70 %, dog 30 %`, the larger share first."""
    present = [index for index in np.argsort(-shares, kind="stable") if shares[index] > 0]
    if len(present) == 1:
        return classes[present[0]]
    return ", ".join(f"{classes[index]} {100 * shares[index]:.0f} %" for index in present)


def save_figure(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
