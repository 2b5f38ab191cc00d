"""What a model makes of images before its head decides, and a picture of it in two dimensions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from vit.data.decoded import Part, pick
from vit.data.images import centre_crop
from vit.inference.classifier import Classifier
from vit.inference.head_input import HeadInput

BATCH_SIZE = 64  # images


class Embedded(NamedTuple):
    """Features (N, D) that the head reads, probabilities (N, K) and labels (N,) of a split's images."""

    features: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray


def embed(classifier: Classifier, part: Part, indices: Sequence[int]) -> Embedded:
    """The features, predictions and labels of the images of a split at `indices`, in their order."""
    features, logits = [], []
    for start in range(0, len(indices), BATCH_SIZE):
        images = pick(part, list(indices[start : start + BATCH_SIZE]))
        with HeadInput(classifier.model) as head:
            logits.append(classifier.logits(centre_crop(images, classifier.config["image_size"])))
        read = head.last()
        features.append(logits[-1] if read is None else read)
    labels = part.labels.numpy()[list(indices)]
    return Embedded(torch.cat(features).numpy(), classifier.calibrated(torch.cat(logits)), labels)


def in_two_dimensions(features: np.ndarray, method: str, seed: int = 0) -> np.ndarray:
    """Features (N, D) as points (N, 2), by `pca` (distances along two lines) or `tsne` (neighbourhoods only).

    The perplexity of t-SNE is 30, or a third of the images if there are fewer than 90. Needs at least 5 images.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if method == "pca":
        return PCA(n_components=2, random_state=seed).fit_transform(features)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)


def shown_variance(features: np.ndarray) -> float:
    """The share of the variance of features (N, D) that the two dimensions of PCA show, in [0, 1]."""
    centred = features - features.mean(axis=0)
    values = np.linalg.svd(centred.astype(np.float64), compute_uv=False) ** 2
    return float(values[:2].sum() / max(values.sum(), 1e-12))
