"""The figures of `evaluation/explain`: where and how far a model looks, and what its first layer has learned."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vit.data.decoded import Part, pick
from vit.evaluation.attention import (
    attention_distance,
    attention_maps,
    filter_components,
    patch_distances,
    pooled,
    position_similarity,
)
from vit.evaluation.explain import (
    enlarged,
    grid_of,
    model_input,
    overlay,
    relevance_maps,
    require_attention,
    rollout_maps,
)
from vit.evaluation.explain_plots import Panel, distance_figure, filters_figure, pictures_figure, positions_figure
from vit.files import write_table
from vit.inference.classifier import Classifier
from vit.models.families import has_attention

log = logging.getLogger("vit")

TILE, HEAD_TILE = 112, 84  # pixels of the longer side
DISTANCE_IMAGES = 128  # as many as in the ViT paper's figure
LONGEST_NAME = 12  # letters that fit above a picture
AT_ONCE = 16  # images; attention grows with the square of the patches


@dataclass(frozen=True)
class Examples:
    """Images uint8 (B, H, W, C) with their labels (B,) and the predicted probabilities (B, classes)."""

    images: Tensor
    labels: np.ndarray
    probabilities: np.ndarray


def explain_figures(folder: Path, classifier: Classifier, part: Part, probabilities: np.ndarray, count: int) -> None:
    """Write the figures to `folder`, for at most `count` correct and as many incorrect predictions, and the mean
    attention distances also as a table; nothing if `count` is 0 or the model has no attention. `probabilities`
    (N, classes) are the predictions for `part`.
    """
    if count == 0:
        return
    if not has_attention(classifier.model):
        name = classifier.config["model"]["name"]
        log.info(f"no figures in {folder}: model.name is {name}, which has no attention maps")
        return
    labels = part.labels.numpy()
    examples = {
        title: Examples(pick(part, indices), labels[indices], probabilities[indices])
        for title, indices in zip(("Correct", "Incorrect"), chosen(labels, probabilities, count), strict=True)
        if indices
    }
    pictures_figure(folder / "examples.png", [maps_panel(classifier, *item) for item in examples.items()])
    pictures_figure(folder / "heads.png", [heads_panel(classifier, *item) for item in examples.items()])

    sample = np.linspace(0, len(labels) - 1, min(DISTANCE_IMAGES, len(labels))).astype(int).tolist()
    distances, uniform = mean_distances(classifier, pick(part, sample))
    distance_figure(folder / "attention_distance.png", distances, uniform)
    rows = [
        {"block": block + 1, "head": head + 1, "pixels": f"{pixels:.4f}"}
        for (block, head), pixels in np.ndenumerate(distances)
    ]
    write_table(folder / "attention_distance.csv", rows)
    if classifier.config["model"]["pos_embed"] != "none":
        similarity = position_similarity(classifier.model, grid_of(classifier)).cpu().numpy()
        positions_figure(folder / "position_similarity.png", similarity)
    components, shares = filter_components(classifier.model)
    filters_figure(folder / "patch_filters.png", components.cpu().numpy(), shares.cpu().numpy())


def chosen(labels: np.ndarray, probabilities: np.ndarray, count: int) -> tuple[list[int], list[int]]:
    """Indices of at most `count` correct predictions, spread over the classes, and of as many incorrect ones, most
    confident first."""
    predictions = probabilities.argmax(axis=1)
    right, wrong = np.flatnonzero(predictions == labels), np.flatnonzero(predictions != labels)
    right = right[np.argsort(labels[right], kind="stable")]
    spread = np.linspace(0, len(right) - 1, min(count, len(right))).round().astype(int)
    confident = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")[:count]
    return right[spread].tolist(), wrong[confident].tolist()


def maps_panel(classifier: Classifier, title: str, examples: Examples) -> Panel:
    """Each image above its rollout and its relevance for the prediction and, if incorrect, for the true label."""
    images, predicted = examples.images, examples.probabilities.argmax(axis=1)
    maps = {"rollout": rollout_maps(classifier, images)}
    maps["relevance\nfor prediction"] = relevance_maps(classifier, images, torch.tensor(predicted))
    if (predicted != examples.labels).any():
        maps["relevance\nfor true label"] = relevance_maps(classifier, images, torch.tensor(examples.labels))
    rows = {"image": [enlarged(image, TILE).convert("RGB") for image in images.numpy()]}
    for name, stack in maps.items():
        rows[name] = [overlay(image, values, TILE) for image, values in zip(images.numpy(), stack, strict=True)]
    return Panel(f"{title} predictions, test", captions(classifier.classes, examples), rows)


def heads_panel(classifier: Classifier, title: str, examples: Examples) -> Panel:
    """The first example under the attention that the classifier reads, by block (row) and head, their mean first."""
    image, model = examples.images[:1], require_attention(classifier)
    maps = pooled(attention_maps(model, model_input(classifier, image))[:, 0], model)  # (depth, heads, N)
    maps = torch.cat([maps.mean(dim=1, keepdim=True), maps], dim=1).cpu().numpy()

    def drawn(values: np.ndarray) -> Image.Image:
        return overlay(image[0].numpy(), values.reshape(grid_of(classifier)), HEAD_TILE)

    rows = {f"block {index}": [drawn(values) for values in block] for index, block in enumerate(maps, 1)}
    names = ["mean", *(f"head {index}" for index in range(1, maps.shape[1]))]
    whose = "of the class token" if model.pool == "cls" else "of all patches"
    whose += " and the distillation token" if model.distilled else ""
    caption = captions(classifier.classes, examples)[0].replace("\n", ", ")
    return Panel(f"{title}: {caption}\nattention {whose}", names, rows)


def captions(classes: list[str], examples: Examples) -> list[str]:
    """`3 (97%)`, with the true label on a second line if it differs; long names are cut."""
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in classes]
    lines = []
    for label, row in zip(examples.labels, examples.probabilities, strict=True):
        truth = "" if label == row.argmax() else f"\ntrue: {names[label]}"
        lines.append(f"{names[row.argmax()]} ({row.max():.0%}){truth}")
    return lines


def mean_distances(classifier: Classifier, images: Tensor) -> tuple[np.ndarray, float]:
    """`attention_distance` in pixels over images uint8 (B, H, W, C), (depth, heads), and that of uniform attention."""
    distances = patch_distances(grid_of(classifier), classifier.config["model"]["patch_size"])
    model, total = require_attention(classifier), torch.zeros(())
    for some in images.split(AT_ONCE):
        maps = attention_maps(model, model_input(classifier, some))
        total = total + attention_distance(maps, distances) * len(some)
    return (total / len(images)).cpu().numpy(), distances.mean().item()
