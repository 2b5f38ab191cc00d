"""Covered images and what covering costs, on a model whose behaviour is known."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.kinds import KINDS, classifier_of, images
from vit.evaluation.occlusion import confidence, covered, grey_of, occlusion_map


class Corner(nn.Module):
    """The logit of class 0 is the mean of the upper left 4x4 pixels; the others are 0."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        corner = x[:, :, :4, :4].mean(dim=(1, 2, 3)) * self.scale
        return torch.stack([corner, torch.zeros_like(corner), torch.zeros_like(corner)], dim=1)


def test_only_the_square_is_covered_and_only_within_the_image():
    image = np.zeros((4, 4, 1), dtype=np.uint8)
    assert covered(image, 2, 3, 2, [9])[..., 0].tolist() == [[0] * 4, [0] * 4, [0, 0, 0, 9], [0, 0, 0, 9]]
    assert covered(image, -1, -1, 2, [9]).sum() == 9 and image.sum() == 0


def test_the_map_is_high_exactly_where_the_model_looks():
    classifier = classifier_of("cnn")
    classifier.model = Corner().eval()
    image = np.full((16, 16, 3), 255, dtype=np.uint8)
    found = occlusion_map(classifier, image, 0, cell=4, side=4)
    x = (1 - np.array(classifier.mean)) / np.array(classifier.std)
    before = np.exp(x.mean()) / (np.exp(x.mean()) + 2)
    grey = (np.array(grey_of(classifier)) / 255 - np.array(classifier.mean)) / np.array(classifier.std)
    after = np.exp(grey.mean()) / (np.exp(grey.mean()) + 2)
    assert found[0, 0] == pytest.approx(before - after, abs=1e-5)
    assert np.abs(found).sum() == pytest.approx(found[0, 0], abs=1e-5)


def test_a_square_larger_than_its_cell_reaches_the_neighbours():
    classifier = classifier_of("cnn")
    classifier.model = Corner().eval()
    found = occlusion_map(classifier, np.full((16, 16, 3), 255, dtype=np.uint8), 0, cell=4, side=8)
    assert (found > 1e-4).tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_has_an_occlusion_map(kind):
    classifier, image = classifier_of(kind), images()[0].numpy()
    found = occlusion_map(classifier, image, 1, cell=8, side=8)
    by_hand = confidence(classifier, image[None], 1)[0] - confidence(
        classifier, covered(image, 8, 0, 8, grey_of(classifier))[None], 1
    )
    assert found.shape == (2, 2) and found[1, 0] == pytest.approx(by_hand[0], abs=1e-6)
