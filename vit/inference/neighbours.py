"""k-nearest neighbours on features: what they are worth before anything is trained on them.

Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", with the k and the
temperature of DINO (Caron et al. 2021).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.data.batches import Packed

NEIGHBOURS, TEMPERATURE = 20, 0.07
AT_A_TIME = 1024  # rows of similarities in memory


def neighbours_accuracy(train: Packed, other: Packed) -> float:
    """Share of `other` whose label wins the vote of its nearest train images; features (N, D) in place of images."""
    votes = nearest_labels(train.images, train.labels, other.images)
    return (votes == other.labels).double().mean().item()


def nearest_labels(features: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The label (M,) that the nearest of `features` (N, D) give each of `queries` (M, D).

    By cosine; each of the NEIGHBOURS, or of all if there are fewer, votes with exp(cosine / TEMPERATURE).
    """
    known = F.normalize(features.float().cpu(), dim=1)
    voters = F.one_hot(labels).float()  # (N, K)
    count = min(NEIGHBOURS, len(known))
    found = []
    for some in queries.float().cpu().split(AT_A_TIME):
        cosines, nearest = (F.normalize(some, dim=1) @ known.T).topk(count, dim=1)  # each (b, count)
        weights = ((cosines - 1) / TEMPERATURE).exp()  # at most 1, so that nothing overflows
        found.append((weights[:, :, None] * voters[nearest]).sum(dim=1).argmax(dim=1))
    return torch.cat(found)
