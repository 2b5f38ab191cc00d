"""The filters that read the pixels, of any model."""

import numpy as np
import torch
from torch import nn


def first_filters(model: nn.Module) -> np.ndarray:
    """The weights of the first convolution, or of the patch embedding, (K, C, P, P), those with most weight first."""
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    weight = first.weight.detach().float().cpu()
    order = weight.flatten(1).norm(dim=1).argsort(descending=True)
    return weight[order].numpy()


def as_picture(filters: np.ndarray) -> np.ndarray:
    """A filter (C, P, P) as uint8 (P, P, 1 or 3); grey is zero, and its largest value black or white."""
    largest = max(float(np.abs(filters).max()), 1e-12)
    shown = (127.5 * (1 + filters / largest)).round().astype(np.uint8).transpose(1, 2, 0)
    return shown if shown.shape[-1] in (1, 3) else shown[..., :1]


def sheet(filters: np.ndarray, tile: int, columns: int, gap: int = 4) -> np.ndarray:
    """Filters (K, C, P, P) as one image uint8 (H, W, 1 or 3), each enlarged to about `tile` pixels."""
    pictures = [as_picture(one) for one in filters]
    factor = max(1, tile // pictures[0].shape[0])
    pictures = [one.repeat(factor, axis=0).repeat(factor, axis=1) for one in pictures]
    side, channels = pictures[0].shape[0] + gap, pictures[0].shape[-1]
    rows = -(-len(pictures) // columns)
    laid = np.full((rows * side - gap, min(columns, len(pictures)) * side - gap, channels), 255, dtype=np.uint8)
    for number, one in enumerate(pictures):
        top, left = number // columns * side, number % columns * side
        laid[top : top + one.shape[0], left : left + one.shape[1]] = one
    return laid


def similarity_to_start(trained: nn.Module, start: nn.Module) -> float:
    """Cosine between the first filters of two models of one architecture, all weights together, in [-1, 1]."""
    first = [next(one for one in model.modules() if isinstance(one, nn.Conv2d)).weight for model in (trained, start)]
    flat = [weight.detach().float().flatten() for weight in first]
    return float(torch.nn.functional.cosine_similarity(flat[0], flat[1], dim=0))
