"""Training on classes of very different size: which images an epoch shows, and how much each counts in the loss."""

import torch
from torch import Tensor


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
    """The weight (K,) in the loss of an image of each class, on average 1 over the images `labels` (N,).

    balanced: N / (k n) for a class of n images, where k classes occur; classes without images get 0. none: None.
    """
    if kind == "none":
        return None
    images = labels.bincount(minlength=classes)
    occurring = images > 0
    return torch.where(occurring, len(labels) / (occurring.sum() * images.clamp(min=1)), 0.0)
