"""Training on imbalanced classes: which images an epoch shows, and how much each counts in the loss."""

import torch
from torch import Tensor


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Positions of N images for N labels, in random order, with every class equally often.

    Class counts differ by at most one, and so do the repeats of a class's images: images of a rare class are repeated,
    and a frequent class shows another random subset of its images in each epoch.
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
    """Each class's weight (K,) in the loss, with an average of 1 over the images `labels` (N,).

    balanced: N / (k n) for a class of n images, where k classes occur; classes without images get 0. none: None.
    """
    if kind == "none":
        return None
    images = labels.bincount(minlength=classes)
    occurring = images > 0
    return torch.where(occurring, len(labels) / (occurring.sum() * images.clamp(min=1)), 0.0)
