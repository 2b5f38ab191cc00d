"""Features as the head reads them, and their picture in two dimensions."""

import numpy as np
import pytest
import torch

from tests.kinds import KINDS, classifier_of, images
from vit.data.batches import Packed
from vit.evaluation.embedding import embed, in_two_dimensions, shown_variance


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_turns_the_features_into_the_predictions(kind):
    classifier = classifier_of(kind)
    part = Packed(images(70), torch.arange(70) % 3)
    found = embed(classifier, part, range(70))
    model = classifier.model
    heads = [model.fc] if kind == "resnet18" else [model.head]
    assert len(found.features) == 70 and found.labels.tolist() == part.labels.tolist()
    if kind != "distilled":  # whose second head reads another token
        logits = heads[0](torch.from_numpy(found.features))
        np.testing.assert_allclose(classifier.calibrated(logits.detach()), found.probabilities, rtol=1e-3, atol=1e-5)
    assert not heads[0]._forward_pre_hooks


def test_the_first_two_components_keep_what_lies_in_a_plane():
    drawn = np.random.default_rng(0).normal(size=(40, 2))
    plane = drawn @ np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))[0][:2]
    points = in_two_dimensions(plane, "pca")
    assert shown_variance(plane) == pytest.approx(1)
    between = lambda rows: np.linalg.norm(rows[:, None] - rows[None], axis=-1)  # noqa: E731
    np.testing.assert_allclose(between(points), between(drawn), atol=1e-6)


def test_neighbours_stay_neighbours_and_the_picture_is_repeatable():
    drawn = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 12)
    features = drawn.normal(size=(36, 5)) * 0.01 + groups[:, None] * 10
    points = in_two_dimensions(features.astype(np.float32), "tsne")
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(36) * 1e9
    assert (groups[distances.argmin(axis=1)] == groups).all()
    np.testing.assert_array_equal(points, in_two_dimensions(features.astype(np.float32), "tsne"))
