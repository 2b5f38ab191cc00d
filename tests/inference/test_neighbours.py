import math

import pytest
import torch

from vit.data.batches import Packed
from vit.inference.neighbours import NEIGHBOURS, TEMPERATURE, nearest_labels, neighbours_accuracy


def voted(features, labels, query) -> int:
    """The vote written out, one image at a time."""
    cosines = [torch.cosine_similarity(one, query, dim=0).item() for one in features]
    nearest = sorted(range(len(cosines)), key=lambda index: -cosines[index])[:NEIGHBOURS]
    votes: dict[int, float] = {}
    for index in nearest:
        votes[int(labels[index])] = votes.get(int(labels[index]), 0.0) + math.exp(cosines[index] / TEMPERATURE)
    return max(votes, key=votes.__getitem__)


def test_the_labels_are_those_of_the_vote_written_out():
    generator = torch.Generator().manual_seed(0)
    features, queries = (torch.randn(count, 5, generator=generator) for count in (90, 40))
    labels = torch.randint(0, 4, (90,), generator=generator)
    expected = [voted(features, labels, query) for query in queries]
    assert nearest_labels(features, labels, queries).tolist() == expected and len(set(expected)) == 4


def test_the_nearest_outvotes_a_majority_that_is_farther_away():
    # cosines 1, and 0.8 nineteen times: exp(0.2 / 0.07) = 17.4 votes against 19, but 17.4 against 17
    query, near, far = torch.tensor([[1.0, 0.0]]), torch.tensor([[5.0, 0.0]]), torch.tensor([[4.0, 3.0]])
    for others, expected in ((19, 1), (17, 0)):
        features = torch.cat([near, far.expand(others, 2)])
        assert nearest_labels(features, torch.tensor([0] + others * [1]), query).tolist() == [expected]


def test_more_neighbours_than_images_are_all_of_them():
    features = torch.eye(3)
    assert nearest_labels(features, torch.tensor([2, 0, 1]), features).tolist() == [2, 0, 1]


def test_the_accuracy_is_the_share_of_equal_labels():
    train = Packed(torch.eye(4), torch.tensor([0, 1, 2, 3]))
    assert neighbours_accuracy(train, Packed(torch.eye(4), torch.tensor([0, 1, 2, 0]))) == pytest.approx(0.75)
