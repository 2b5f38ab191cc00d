"""Training on classes of very different size: which images an epoch shows, and how much each counts in the loss."""

import torch
from torch import Tensor

BETA = 0.999  # of the effective number of images


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Positions of as many images as there are labels (N,), in random order, with every class equally often.

    Classes differ by one image at most, if N is no multiple of their number, and so do the images of a class: those of
    a rare class are repeated, and a frequent class shows another random part of its images in each epoch.
    """
    sizes = labels.bincount()
    sizes = sizes[sizes > 0]
    wanted = torch.full_like(sizes, len(labels) // len(sizes))
    wanted[torch.randperm(len(sizes), generator=generator)[: len(labels) % len(sizes)]] += 1
    chosen = []
    for members, count in zip(labels.argsort(stable=True).split(sizes.tolist()), wanted.tolist(), strict=True):
        rounds = -(-count // len(members))
        shuffled = [members[torch.randperm(len(members), generator=generator)] for _ in range(rounds)]
        chosen.append(torch.cat(shuffled)[:count])
    order = torch.cat(chosen)
    return order[torch.randperm(len(order), generator=generator)]


def class_weights(labels: Tensor, classes: int, kind: str) -> Tensor | None:
    """The weight (K,) of an image of each class in the loss, 1 on average over the images `labels` (N,); None for none.

    balanced: 1 / n of a class of n images; effective: (1 - BETA) / (1 - BETA^n), after Cui et al. 2019, "Class-Balanced
    Loss Based on Effective Number of Samples". A class without images has weight 0.
    """
    if kind == "none":
        return None
    images = labels.bincount(minlength=classes).double()
    weights = 1 / images if kind == "balanced" else (1 - BETA) / (1 - BETA**images)
    weights[images == 0] = 0
    return (weights * (len(labels) / (weights * images).sum())).float()
