"""Temperature scaling (Guo et al. 2017): one divisor for all logits, fitted on val to calibrate the confidence."""

import numpy as np
import torch

from vit.data.decoded import Part
from vit.inference.classifier import Classifier

TEMPERATURES = (0.2, 5.0)  # limits for a val split that is all correct (0) or hopeless (infinity)
GOLDEN = (5**0.5 - 1) / 2
PRECISION = 1e-6  # of the temperature's logarithm


def temperature_on(part: Part, classifier: Classifier, batch_size: int) -> float:
    """The temperature that fits the logits of `classifier` to the labels of the val split `part`."""
    logits = torch.cat([classifier.logits(images) for images, _ in part.in_order(batch_size)])
    return fit_temperature(logits.numpy(), part.labels.numpy())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature within TEMPERATURES that minimizes the cross-entropy of softmax(logits / T); logits (N, K).

    Golden-section search over its logarithm in float64; cross-entropy is convex in 1 / temperature.
    """
    scores = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        highest = scaled.max(axis=1)
        log_sums = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1))
        return float((log_sums - scaled[np.arange(len(labels)), labels]).mean())

    low, high = np.log(TEMPERATURES)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > PRECISION:
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - GOLDEN * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + GOLDEN * (high - low)
            loss_right = loss(right)
    return round(float(np.exp((low + high) / 2)), 5)
