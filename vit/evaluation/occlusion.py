"""How the confidence changes where an image is covered; works for every model.

Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2.
"""

import numpy as np
import torch

from vit.inference.classifier import Classifier

AT_ONCE = 64  # covered images in one forward pass


def grey_of(classifier: Classifier) -> list[int]:
    """The mean colour of the training images, which the model reads as zeros, by channel in 0 to 255."""
    return [round(255 * value) for value in classifier.mean]


def covered(image: np.ndarray, top: int, left: int, side: int, fill: list[int]) -> np.ndarray:
    """A copy of an image uint8 (H, W, C) with a square of colour `fill`; what lies outside the image is cut off."""
    copy = image.copy()
    copy[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = fill
    return copy


def confidence(classifier: Classifier, images: np.ndarray, label: int) -> np.ndarray:
    """The probability of the class of index `label` for each image uint8 (N, H, W, C), (N,)."""
    parts = torch.from_numpy(np.array(images)).split(AT_ONCE)  # tensors must be writable
    return np.concatenate([classifier.probabilities(part)[:, label] for part in parts])


def occlusion_map(classifier: Classifier, image: np.ndarray, label: int, cell: int, side: int) -> np.ndarray:
    """What covering costs: the confidence without minus with a square of `side` pixels at the centre of each `cell`.

    (rows, columns) with one value per cell of `cell` pixels; positive where the class needs what was covered.
    """
    height, width, _ = image.shape
    fill, border = grey_of(classifier), (side - cell) // 2
    corners = [(top, left) for top in range(0, height, cell) for left in range(0, width, cell)]
    images = np.stack([covered(image, top - border, left - border, side, fill) for top, left in corners])
    lost = confidence(classifier, image[None], label)[0] - confidence(classifier, images, label)
    return lost.reshape(-(-height // cell), -(-width // cell))
