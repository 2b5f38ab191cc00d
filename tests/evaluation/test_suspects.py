import numpy as np
import pytest

from vit.evaluation.suspects import find_suspects

pytestmark = pytest.mark.long


def drawn(sure: list[float], images: int, flips: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and which labels were flipped; of class k the models are `sure[k]` on average."""
    random, classes = np.random.default_rng(seed), len(sure)
    true = np.arange(images) % classes
    own = np.clip(np.array(sure)[true] + random.uniform(-0.05, 0.05, images), 0, 1)
    probabilities = np.repeat(((1 - own) / (classes - 1))[:, None], classes, axis=1)
    probabilities[np.arange(images), true] = own
    flipped = np.zeros(images, bool)
    flipped[random.choice(images, flips, replace=False)] = True
    labels = np.where(flipped, (true + random.integers(1, classes, images)) % classes, true)
    return labels, probabilities, flipped


@pytest.mark.parametrize("sure", [[0.9, 0.9, 0.9], [0.95, 0.8, 0.6, 0.5]])
def test_flipped_labels_are_found_whatever_the_confidence_of_a_class(sure):
    labels, probabilities, flipped = drawn(sure, images=400, flips=20)
    found = find_suspects(labels, probabilities)
    assert set(found.ranking(top=20)) == set(np.flatnonzero(flipped))
    precision = flipped[found.suspected].mean()
    recall = found.suspected[flipped].mean()
    assert precision == 1 and recall >= 0.5  # below the threshold of the true class, a flip is not suspected
    assert (found.other[flipped] == probabilities[flipped].argmax(axis=1)).all()


def test_right_labels_are_not_suspected():
    labels, probabilities, _ = drawn([0.9, 0.6, 0.5], images=300, flips=0)
    found = find_suspects(labels, probabilities)
    assert found.suspected.sum() == 0 and found.ranking().size == 0
    assert len(found.ranking(top=7)) == 7


def test_an_unsure_class_is_judged_by_its_own_threshold():
    # Mean probability of b over images labelled b: (0.55 + 0.55 + 0.1) / 3 = 0.4; of a over those labelled a:
    # (0.9 + 0.9 + 0.45) / 3 = 0.75. Image 2, labelled a with 0.55 for b, is over b's threshold, and image 5, labelled b
    # with 0.9 for a, over a's.
    labels = np.array([0, 0, 0, 1, 1, 1])
    share_of_a = np.array([0.9, 0.9, 0.45, 0.45, 0.45, 0.9])
    found = find_suspects(labels, np.stack([share_of_a, 1 - share_of_a], axis=1))
    assert found.suspected.tolist() == [False, False, True, False, False, True]
    assert found.other.tolist() == [1, 1, 1, 0, 0, 0]
    # With 0.7 for a, image 5 is below a's threshold of 0.75: not enough to be suspected.
    share_of_a[5] = 0.7
    assert not find_suspects(labels, np.stack([share_of_a, 1 - share_of_a], axis=1)).suspected[5]


def test_a_class_without_an_image_is_no_obstacle():
    labels, probabilities, flipped = drawn([0.9, 0.9, 0.9], images=60, flips=3)
    wider = np.concatenate([probabilities, np.zeros((60, 1))], axis=1)
    assert set(find_suspects(labels, wider).ranking()) <= set(np.flatnonzero(flipped))
    assert set(find_suspects(labels, wider).ranking(top=3)) == set(np.flatnonzero(flipped))
