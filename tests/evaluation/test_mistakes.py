import numpy as np
import pytest
from PIL import Image

from tests.drawn import draw
from tests.evaluation.predicted import predicted, sure
from vit.evaluation.mistakes import mistakes_sheet, most_confident_mistakes

CONFIG = {"image_size": [16, 24], "channels": 3, "fit": "crop", "margin": 0.0, "trim_bars": False}


def unsure(labels, confidences) -> np.ndarray:
    pairs = zip(labels, confidences, strict=True)
    return np.concatenate([sure(np.array([label]), confidence) for label, confidence in pairs])


def test_mistakes_come_the_most_confident_first_and_right_predictions_not_at_all():
    predictions = predicted([0, 0, 1, 2, 0], unsure([0, 1, 2, 0, 1], [0.99, 0.5, 0.9, 0.5, 0.7]))
    assert most_confident_mistakes(predictions).tolist() == [2, 4, 1, 3]


def test_at_most_32_mistakes_are_shown():
    predictions = predicted(np.zeros(50, dtype=int), unsure([1] * 50, np.linspace(0.5, 0.9, 50)))
    assert most_confident_mistakes(predictions).tolist() == list(range(49, 17, -1))


@pytest.mark.parametrize(("wrong", "rows"), [(1, 1), (8, 1), (9, 2), (40, 4)])
def test_a_sheet_has_eight_images_a_row(tmp_path, wrong, rows):
    for index in range(wrong):
        draw(tmp_path / f"{index}.png", index, 20, 30)
    mistakes_sheet(
        tmp_path / "a.png", predicted(np.zeros(wrong, dtype=int), sure(np.ones(wrong, int))), tmp_path, CONFIG
    )
    width, height = Image.open(tmp_path / "a.png").size
    assert width == 160 * min(8, max(2, wrong))
    assert height == pytest.approx(160 * rows * (16 / 24 + 0.35), abs=1)


def test_a_sheet_shows_the_pixels_that_the_model_saw(tmp_path):
    pixels = np.zeros((16, 24, 3), dtype=np.uint8)
    pixels[:, 12:] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    mistakes_sheet(tmp_path / "a.png", predicted([0], sure(np.array([1]))), tmp_path, CONFIG)
    sheet = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    red, black = (int((sheet == color).all(axis=2).sum()) for color in ((255, 0, 0), (0, 0, 0)))
    assert red == pytest.approx(0.94 * 160 * 0.94 * 160 * 16 / 24 / 2, rel=0.05)
    assert black == pytest.approx(red, rel=0.1)


def test_equal_mistakes_draw_equal_bytes_and_a_model_without_mistakes_draws_a_sheet_that_says_so(tmp_path):
    draw(tmp_path / "0.png", 0, 20, 30)
    sheets = []
    for name, label in (("a.png", [1]), ("b.png", [1]), ("c.png", [2]), ("d.png", [0])):
        mistakes_sheet(tmp_path / name, predicted([0], sure(np.array(label))), tmp_path, CONFIG)
        sheets.append((tmp_path / name).read_bytes())
    assert sheets[0] == sheets[1] and len(set(sheets)) == 3
