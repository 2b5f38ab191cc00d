"""Drawings for `evaluation/explain`: pictures in rows, attention distances, position embeddings, filters."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from vit.evaluation.plots import save_figure

GAP = 4  # pixels between pictures
FILTERS = 28  # as in the ViT paper's figure


@dataclass(frozen=True)
class Panel:
    """A title, a caption above each column, and named rows of pictures of equal size."""

    title: str
    captions: list[str]
    rows: dict[str, list[Image.Image]]

    @property
    def step(self) -> tuple[int, int]:
        """Pixels between pictures, horizontally and vertically."""
        first = next(iter(self.rows.values()))[0]
        return first.width + GAP, first.height + GAP


def pictures_figure(path: Path, panels: list[Panel]) -> None:
    """Panels one below the other, with pictures at full resolution if the names leave room."""
    columns = max(len(panel.captions) for panel in panels)
    heights = [panel.step[1] * len(panel.rows) for panel in panels]
    inches = (columns * max(panel.step[0] for panel in panels) / 100 + 1.2, sum(heights) / 100 + 0.8 * len(panels))
    figure = Figure(figsize=inches, layout="constrained")
    for axes, panel in zip(
        figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights).flat, panels, strict=True
    ):
        width, height = panel.step
        sheet = Image.new("RGB", (columns * width - GAP, len(panel.rows) * height - GAP), "white")
        for row, pictures in enumerate(panel.rows.values()):
            for column, picture in enumerate(pictures):
                sheet.paste(picture, (column * width, row * height))
        axes.imshow(np.asarray(sheet), interpolation="nearest")
        axes.set_title(panel.title, loc="left", fontsize=11, parse_math=False)
        axes.set_yticks(np.arange(len(panel.rows)) * height + height / 2, panel.rows, parse_math=False)
        centres = np.arange(len(panel.captions)) * width + width / 2
        axes.set_xticks(centres, panel.captions, fontsize=8, parse_math=False)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    save_figure(figure, path)


def distance_figure(path: Path, distances: np.ndarray, uniform: float) -> None:
    """Mean attention distance in pixels (depth, heads), one dot per head, by block; `uniform` is the distance
    of uniform attention."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    blocks = np.arange(1, len(distances) + 1)
    axes.axhline(uniform, color="grey", linestyle=":", label="uniform attention")
    axes.plot(blocks, distances.mean(axis=1), color="C0", alpha=0.4, label="mean over heads")
    axes.plot(blocks.repeat(distances.shape[1]), distances.flatten(), "o", color="C0", markersize=5, label="one head")
    axes.set(title="Mean attention distance, test", xlabel="block", ylabel="pixels", xticks=blocks)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def positions_figure(path: Path, similarity: np.ndarray) -> None:
    """Cosine similarities (rows, columns, rows, columns): at each patch's position, its similarity to all patches."""
    rows, columns = similarity.shape[:2]
    scale = max(1, round(500 / max(rows, columns) ** 2))  # pixels of the sheet per patch
    gap = max(1, scale * max(rows, columns) // 8)
    sheet = np.full((rows, columns, rows * scale + gap, columns * scale + gap), np.nan, dtype=np.float32)
    sheet[:, :, :-gap, :-gap] = similarity.repeat(scale, axis=2).repeat(scale, axis=3)
    height, width = sheet.shape[2:]
    sheet = sheet.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-gap, :-gap]
    figure = Figure(figsize=(7, min(10, 5.5 * sheet.shape[0] / sheet.shape[1] + 1)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(sheet, interpolation="nearest")
    steps = [-(-count // 16) for count in (rows, columns)]  # at most 16 labels per axis
    row_names = [str(row) for row in range(1, rows + 1, steps[0])]
    column_names = [str(column) for column in range(1, columns + 1, steps[1])]
    axes.set_yticks(np.arange(0, rows, steps[0]) * height + (height - gap) / 2, row_names)
    axes.set_xticks(np.arange(0, columns, steps[1]) * width + (width - gap) / 2, column_names)
    axes.set(
        title="Position embeddings: similarity of each patch to all patches", xlabel="patch column", ylabel="patch row"
    )
    axes.spines[:].set_visible(False)
    figure.colorbar(image, label="cosine similarity")
    save_figure(figure, path)


def filters_figure(path: Path, components: np.ndarray, shares: np.ndarray) -> None:
    """At most 28 principal components (K, C, P, P) of the patch embedding's filters, each with its share of the
    variance; grey is zero."""
    components, shares = components[:FILTERS], shares[:FILTERS]
    columns = min(7, len(components))
    rows = -(-len(components) // columns)
    figure = Figure(figsize=(max(3.6, 1.1 * columns), 1.3 * rows + 0.5), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(components) :]:
        axes.set_axis_off()
    for axes, component, share in zip(panels, components, shares, strict=False):
        scaled = 0.5 + component / (2 * max(np.abs(component).max(), 1e-12))
        axes.imshow(scaled.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(f"{share:.1%}", fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.suptitle("Principal components of patch-embedding filters", fontsize=10)
    save_figure(figure, path)
