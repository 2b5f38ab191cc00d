"""What one patch attends to, read from attention maps, rollout or relevance."""

import numpy as np
import torch
from torch import Tensor

from vit.evaluation.attention import attention_maps, gradient_relevance, pooled, rollout
from vit.evaluation.explain import grid_of, model_input, require_attention
from vit.inference.classifier import Classifier

Patch = tuple[int, int]  # row and column, from 0


def head_maps(classifier: Classifier, images: Tensor) -> Tensor:
    """Attention of uint8 (B, H, W, C), (depth, B, heads, N, N). Raises UserError for a model without attention."""
    return attention_maps(require_attention(classifier), model_input(classifier, images))


def seen_from(matrix: Tensor, classifier: Classifier, patch: Patch | None) -> np.ndarray:
    """The row of `patch` in (..., N, N), on the grid of patches (..., rows, columns); None is what the head reads.

    Tokens before the patches are left out as columns, so a row of attention sums to at most 1.
    """
    model, grid = require_attention(classifier), grid_of(classifier)
    if patch is None:
        row = pooled(matrix, model)
    else:
        row = matrix[..., model.prefix + patch[0] * grid[1] + patch[1], model.prefix :]
    return row.reshape(*row.shape[:-1], *grid).float().cpu().numpy()


def rollout_matrix(maps: Tensor) -> Tensor:
    """Attention accumulated over all blocks for the first image, (N, N)."""
    return rollout(maps)[0]


def relevance_matrix(classifier: Classifier, image: Tensor, label: int) -> Tensor:
    """Gradient x attention for the class of index `label`, uint8 (H, W, C) to (N, N)."""
    x = model_input(classifier, image[None])
    return gradient_relevance(require_attention(classifier), x, torch.tensor([label], device=x.device))[0]
