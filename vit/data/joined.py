"""Two splits read as one, without their labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vit.data.decoded import Part


@dataclass(frozen=True)
class Joined:
    """The images of `first`, then those of `second`, each packed or decoded when it is read."""

    first: Part
    second: Part

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """Batches of images uint8 (b, H, W, C), one for each int64 (b,) of `indices`, in its order."""
        indices, count = list(indices), len(self.first)
        ones = self.first.batches(chosen[chosen < count] for chosen in indices)
        others = self.second.batches(chosen[chosen >= count] - count for chosen in indices)
        for chosen, (one, _), (other, _) in zip(indices, ones, others, strict=True):
            images = torch.empty(len(chosen), *one.shape[1:], dtype=torch.uint8)
            images[chosen < count], images[chosen >= count] = one, other
            yield images
