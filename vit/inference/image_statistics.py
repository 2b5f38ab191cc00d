"""Figures of images as a model sees them, for comparing the images of one time with those of another."""

import numpy as np


def brightness(images: np.ndarray) -> np.ndarray:
    """Mean of the values of uint8 images (N, H, W, C), in [0, 1], float32 (N,)."""
    return (images.mean(axis=(1, 2, 3), dtype=np.float32) / 255).astype(np.float32)


def sharpness(images: np.ndarray) -> np.ndarray:
    """Standard deviation of the Laplacian of the grey values, as a share of the range, float32 (N,); blur lowers it.

    `images` are uint8 (N, H, W, C). Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy".
    """
    channels = images.shape[3]
    grey = images[..., 0].astype(np.int16)  # the sum of the channels: a server computes this for every image
    for channel in range(1, channels):
        grey += images[..., channel]
    laplacian = 4 * grey[:, 1:-1, 1:-1]
    if laplacian.size == 0:  # fewer than three pixels along a side
        return np.zeros(len(images), np.float32)
    for neighbours in (grey[:, :-2, 1:-1], grey[:, 2:, 1:-1], grey[:, 1:-1, :-2], grey[:, 1:-1, 2:]):
        laplacian -= neighbours
    return laplacian.astype(np.float32).std(axis=(1, 2)) / np.float32(255 * channels)
