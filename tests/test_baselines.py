import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from tests.presets import preset
from vit.baselines import majority_accuracy, svc_accuracy
from vit.data.images import load_image
from vit.data.sources.embedded import write_digits
from vit.data.split import assign, list_images


def test_the_majority_is_counted_on_train_and_judged_on_test():
    # Class 2 leads in train, 4 of 7; in test it is 1 of 5, where class 0 would have 3.
    train, test = np.array([0, 1, 2, 2, 2, 2, 1]), np.array([0, 0, 0, 2, 1])
    assert majority_accuracy(train, test) == 0.2


def test_a_majority_that_test_lacks_scores_nothing():
    assert majority_accuracy(np.array([3, 3, 0]), np.array([0, 0])) == 0.0


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Dark and bright noise, uint8 (N, 4, 5, 3), with labels 0 and 1."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    images = generator.integers(0, 120, (count, 4, 5, 3)) + 130 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


def test_the_support_vectors_tell_dark_from_bright():
    assert svc_accuracy(blobs(40, 0), blobs(30, 1)) == 1.0


def test_the_support_vectors_guess_where_labels_are_noise():
    images, labels = blobs(60, 0)
    test_images, test_labels = blobs(200, 1)
    shuffled = np.random.default_rng(2).permutation(labels)
    assert 0.3 < svc_accuracy((images, shuffled), (test_images, test_labels)) < 0.7


@pytest.mark.parametrize("seed", [0, 1])
def test_on_digits_our_pixels_score_as_scikit_learns(tmp_path, seed):
    params = preset(tmp_path, "digits", {"data.source": "digits", "split.seed": seed})
    write_digits(tmp_path / "raw")
    parts = assign(list_images(tmp_path / "raw"), params.split)
    digits = load_digits()
    ours, theirs = {}, {}
    for part in ("train", "test"):
        paths = [tmp_path / "raw" / row.path for row in parts[part]]
        labels = np.array([int(row.label) for row in parts[part]])
        ours[part] = np.stack([load_image(path, (8, 8), 1, "crop") for path in paths]), labels
        theirs[part] = digits.data[[int(path.stem) for path in paths]], labels
    expected = SVC(gamma=0.001).fit(*theirs["train"]).score(*theirs["test"])
    assert svc_accuracy(ours["train"], ours["test"]) == expected
    assert expected > 0.98
