"""Where a model looks: attention where there is some, covering where there is none; and its filters."""

import numpy as np
import pytest
import torch

from tests.kinds import KINDS, WITH_ATTENTION, classifier_of, images
from vit.evaluation.explain import relevance_maps, rollout_maps
from vit.evaluation.filters import as_picture, first_filters, sheet, similarity_to_start
from vit.evaluation.looking import average_map, batch_of, how_it_is_seen, looked_at, map_grid
from vit.evaluation.occlusion import occlusion_map
from vit.quantities import flops


@pytest.mark.parametrize("kind", WITH_ATTENTION)
def test_a_class_token_is_seen_by_rollout_and_an_average_by_its_gradient(kind):
    classifier, some = classifier_of(kind), images(3)
    labels = classifier.logits(some).argmax(dim=1)
    is_average = kind == "avg"
    wanted = relevance_maps(classifier, some, labels) if is_average else rollout_maps(classifier, some)
    np.testing.assert_allclose(looked_at(classifier, some), wanted, rtol=1e-5)
    assert ("no class token" in how_it_is_seen(classifier)) is is_average
    assert map_grid(classifier) == (4, 4)


@pytest.mark.parametrize("kind", ["cnn", "resnet18"])
def test_without_attention_it_is_what_covering_costs(kind):
    classifier, image = classifier_of(kind), images()
    label = int(classifier.logits(image).argmax())
    found = looked_at(classifier, image)
    assert found.shape[1:] == map_grid(classifier) == (8, 8) and "no attention" in how_it_is_seen(classifier)
    np.testing.assert_array_equal(found[0], occlusion_map(classifier, image[0].numpy(), label, 2, 4))


def test_the_average_map_counts_every_image_alike():
    classifier, some = classifier_of("cls"), images(20)
    maps = looked_at(classifier, some)
    by_hand = np.mean([one / one.sum() for one in maps.astype(float)], axis=0)
    np.testing.assert_allclose(average_map(classifier, some), by_hand, rtol=1e-6)


def test_a_batch_of_one_is_a_writable_copy():
    pixels = images()[0].numpy()
    pixels.flags.writeable = False
    batch_of(pixels)[0, 0, 0] = 7
    assert pixels[0, 0].tolist() == images()[0, 0, 0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_filters_are_those_of_the_first_layer(kind):
    model = classifier_of(kind).model
    found = first_filters(model)
    first = next(one for one in model.modules() if isinstance(one, torch.nn.Conv2d)).weight.detach()
    norms = np.linalg.norm(found.reshape(len(found), -1), axis=1)
    assert (np.diff(norms) <= 1e-6).all() and found.sum() == pytest.approx(float(first.sum()), abs=1e-3)
    assert similarity_to_start(model, model) == pytest.approx(1)
    assert abs(similarity_to_start(model, classifier_of(kind, seed=1).model)) < 0.5


def test_a_filter_is_grey_at_zero_and_the_sheet_lays_them_in_rows():
    one = np.array([[[0.0, 2.0], [-2.0, 1.0]]])
    assert as_picture(one)[..., 0].tolist() == [[128, 255], [0, 191]]
    laid = sheet(np.stack([one, one, one]), tile=4, columns=2, gap=1)
    assert laid.shape == (9, 9, 1) and laid[5, 0, 0] == 128 and laid[5, 8, 0] == 255


def test_operations_are_named_with_three_digits():
    assert [flops(count) for count in (512, 131_072, 17_563_828_224)] == ["512 FLOPs", "131 kFLOPs", "17.6 GFLOPs"]
