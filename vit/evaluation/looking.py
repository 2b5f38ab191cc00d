"""Where any model looks, as one map per image: attention where there is some, else what covering costs."""

import numpy as np
import torch
from torch import Tensor

from vit.evaluation.explain import explanation_maps, grid_of
from vit.evaluation.occlusion import occlusion_map
from vit.inference.classifier import Classifier
from vit.inference.patches import patch_sizes

CELLS = 8  # of an occlusion map, along the shorter side, as far as they tile the image
AT_ONCE = 16  # images; attention grows with the square of the patches


def looked_at(classifier: Classifier, images: Tensor) -> np.ndarray:
    """Where the model looked for its own prediction, uint8 (B, H, W, C) to (B, rows, columns).

    With attention these are the maps of `vit predict --explain`; without, `occlusion_map`.
    """
    maps = []
    for some in images.split(AT_ONCE):
        labels = classifier.logits(some).argmax(dim=1)
        if classifier.has_attention:
            maps.append(explanation_maps(classifier, some, labels))
        else:
            cell = cell_of(classifier)
            pairs = zip(some.numpy(), labels.tolist(), strict=True)
            maps.append(np.stack([occlusion_map(classifier, image, label, cell, 2 * cell) for image, label in pairs]))
    return np.concatenate(maps)


def how_it_is_seen(classifier: Classifier) -> str:
    """One sentence on what the map of `looked_at` is."""
    if not classifier.has_attention:
        return "This model has no attention: the map shows how much its confidence drops where the image is covered."
    if classifier.config["model"]["pool"] == "cls":
        return "The map is the attention rollout to the class token: what reached it through all blocks."
    return (
        "This model has no class token: the map is gradient x attention, how much each patch supported the prediction."
    )


def map_grid(classifier: Classifier) -> tuple[int, int]:
    """Rows and columns of the map of `looked_at`."""
    if classifier.has_attention:
        return grid_of(classifier)
    height, width = classifier.config["image_size"]
    return height // cell_of(classifier), width // cell_of(classifier)


def cell_of(classifier: Classifier) -> int:
    """The side in pixels of a cell that tiles the image and makes about CELLS of them along the shorter side."""
    size = classifier.config["image_size"]
    return min(patch_sizes(size), key=lambda side: (abs(min(size) / side - CELLS), -side))


def average_map(classifier: Classifier, images: Tensor) -> np.ndarray:
    """The mean of the maps of images uint8 (B, H, W, C), each scaled to sum 1 so that all count alike."""
    maps = looked_at(classifier, images).astype(np.float64)
    maps = maps - np.minimum(maps.min(axis=(1, 2), keepdims=True), 0)
    totals = maps.sum(axis=(1, 2), keepdims=True)
    return (maps / np.where(totals > 0, totals, 1)).mean(axis=0)


def batch_of(pixels: np.ndarray) -> Tensor:
    """An image (H, W, C) as a batch of one; a copy, as tensors must be writable."""
    return torch.from_numpy(np.array(pixels[None]))
