from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.drawn import noise
from tests.evaluation.predicted import predicted, settings, sure
from tests.presets import preset
from tests.shapes import shapes, untrained
from vit.data.manifest import Row
from vit.evaluation.invariance import changes_of, invariance_rows
from vit.evaluation.predictions import predict

EVERY = changes_of(["hflip", "brightness", "shift", "jpeg"])


def batch(count: int = 3, height: int = 64, width: int = 96, channels: int = 3) -> np.ndarray:
    return np.stack([noise(height, width, channels, seed).reshape(height, width, channels) for seed in range(count)])


def test_each_name_stands_for_its_changes_and_no_name_for_none():
    assert list(EVERY) == ["hflip", "darker", "brighter", "shift_up_left", "shift_down_right", "jpeg_30"]
    assert list(changes_of(["shift"])) == ["shift_up_left", "shift_down_right"] and changes_of([]) == {}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("change", EVERY)
def test_a_change_keeps_shape_and_type_and_changes_pixels(change, channels):
    images = batch(channels=channels)
    before = images.copy()
    changed = EVERY[change](images)
    assert changed.shape == images.shape and changed.dtype == np.uint8
    assert np.array_equal(images, before) and not np.array_equal(changed, before)


def test_a_flip_mirrors_columns_alone():
    images = batch()
    assert np.array_equal(EVERY["hflip"](images)[:, :, 0], images[:, :, -1])
    assert np.array_equal(EVERY["hflip"](EVERY["hflip"](images)), images)


def test_brightness_is_a_fifth_up_or_down_and_stays_in_range():
    images = np.array([0, 10, 200, 250], dtype=np.uint8).reshape(1, 2, 2, 1)
    assert EVERY["brighter"](images).ravel().tolist() == [0, 12, 240, 255]
    assert EVERY["darker"](images).ravel().tolist() == [0, 8, 160, 200]


@pytest.mark.parametrize(("side", "pixels"), [(8, 1), (32, 1), (64, 2), (224, 7)])
def test_a_shift_is_one_thirty_second_of_the_side_and_at_least_a_pixel_with_the_border_repeated(side, pixels):
    images = batch(2, side, side + 8)
    away = EVERY["shift_up_left"](images)
    assert np.array_equal(away[:, :-pixels, :-pixels], images[:, pixels:, pixels:])
    assert np.array_equal(away[:, -1, :-pixels], images[:, -1, pixels:])
    back = EVERY["shift_down_right"](images)
    assert np.array_equal(back[:, pixels:, pixels:], images[:, :-pixels, :-pixels])
    assert np.array_equal(back[:, 0, pixels:], images[:, 0, :-pixels])


def test_jpeg_is_pillows_at_quality_30():
    images = batch(1)
    buffer = BytesIO()
    Image.fromarray(images[0]).save(buffer, "JPEG", quality=30)
    assert np.array_equal(EVERY["jpeg_30"](images)[0], np.asarray(Image.open(buffer)))


def test_a_row_tells_what_a_change_does_to_accuracy_and_predictions():
    predictions = predicted([0] * 6 + [1] * 6, sure(np.array([0] * 5 + [1] * 7)))  # 11 of 12 right
    changed = {"same": predictions.predicted_labels, "worse": np.array([1] * 3 + [0] * 3 + [1] * 6)}
    same, worse = invariance_rows(predictions, changed, settings())
    nothing = {"change": "same", "accuracy": 11 / 12, "difference": 0.0, "low": 0.0, "high": 0.0, "same_answer": 1.0}
    assert same == nothing
    # Images 0, 1 and 2 are lost, image 5 is gained.
    assert (worse["accuracy"], worse["same_answer"]) == (9 / 12, 8 / 12)
    assert worse["difference"] == pytest.approx(-2 / 12)
    assert worse["low"] < worse["difference"] < worse["high"]


def test_each_changed_image_is_predicted_in_the_order_of_its_part(tmp_path):
    part = shapes(tmp_path, 5)
    classifier = untrained(preset(tmp_path, "shapes", {"train.device": "cpu"}), part)
    rows = [Row(str(index), classifier.classes[label], "") for index, label in enumerate(part.labels)]
    predictions, changed = predict(
        classifier, part, rows, 7, {"negative": lambda images: 255 - images} | changes_of(["hflip"])
    )
    np.testing.assert_allclose(predictions.probabilities, classifier.probabilities(part.images), atol=1e-6)
    assert predictions.labels.tolist() == part.labels.tolist() and list(changed) == ["negative", "hflip"]
    expected = classifier.probabilities(255 - part.images)
    assert changed["negative"].tolist() == expected.argmax(axis=1).tolist()
