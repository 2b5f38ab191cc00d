from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from vit.config.schema import DataParams
from vit.data.images import load_image
from vit.data.manifest import list_images
from vit.data.sources.digits import fetch_digits
from vit.evaluation.references import svc_accuracy


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


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits in their own order, as our preprocessing reads them, with their labels."""
    raw = tmp_path_factory.mktemp("digits")
    fetch_digits(DataParams(), raw, raw)
    rows = sorted(list_images(raw), key=lambda row: Path(row.path).stem)
    images = np.stack([load_image(raw / row.path, (8, 8), 1, "crop") for row in rows])
    return images, np.array([int(row.label) for row in rows])


@pytest.mark.parametrize("seed", [0, 1])
def test_on_digits_our_pixels_score_as_scikit_learns(digits, seed):
    train, test = train_test_split(np.arange(1797), test_size=0.2, stratify=digits[1], random_state=seed)
    original = load_digits()
    expected = SVC(gamma=0.001).fit(original.data[train], original.target[train])
    ours = svc_accuracy(*((digits[0][part], digits[1][part]) for part in (train, test)))
    assert ours == expected.score(original.data[test], original.target[test])
    assert ours > 0.98


def test_unshuffled_halves_of_the_digits_are_harder_than_stratified_ones(digits):
    # scikit-learn's own example trains on the first half and tests on the second.
    half = np.arange(1797) < 898
    unshuffled = svc_accuracy(*((digits[0][part], digits[1][part]) for part in (half, ~half)))
    stratified = []
    for seed in range(3):
        parts = train_test_split(np.arange(1797), test_size=899, stratify=digits[1], random_state=seed)
        stratified.append(svc_accuracy(*((digits[0][part], digits[1][part]) for part in parts)))
    assert unshuffled == pytest.approx(0.9689, abs=1e-4)
    assert min(stratified) > unshuffled + 0.01
    assert np.mean(stratified) == pytest.approx(0.988, abs=2e-3)
