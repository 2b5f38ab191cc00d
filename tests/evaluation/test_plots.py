import numpy as np
import pytest
from PIL import Image

from vit.evaluation.calibration import reliability_rows
from vit.evaluation.plots import _caption, batch_grid, confusion_figure, reliability_figure, training_curves

pytestmark = pytest.mark.long

HISTORY = [
    {"epoch": 1, "train_loss": 1.4, "train_accuracy": 0.3, "val_loss": 1.3, "val_accuracy": 0.4},
    {"epoch": 2, "train_loss": 0.9, "train_accuracy": 0.6, "val_loss": 1.0, "val_accuracy": 0.7},
    {"epoch": 3, "train_loss": 0.5, "train_accuracy": 0.9, "val_loss": 1.1, "val_accuracy": 0.7},
]
RATES = [0.001, 0.002, 0.0015, 0.001, 0.0005, 0.0001]


def curves(path, history=HISTORY, rates=RATES):
    training_curves(path, history, 2, rates)
    return path.read_bytes()


def map_of(path, counts, classes):
    confusion_figure(path, np.array(counts), classes)
    return path.read_bytes()


def test_equal_numbers_draw_equal_bytes_and_others_do_not(tmp_path):
    assert curves(tmp_path / "a.png") == curves(tmp_path / "b.png")
    assert curves(tmp_path / "a.png") != curves(tmp_path / "c.png", rates=RATES[::-1])
    counts = [[7, 1], [0, 5]]
    assert map_of(tmp_path / "d.png", counts, ["a", "b"]) == map_of(tmp_path / "e.png", counts, ["a", "b"])
    assert map_of(tmp_path / "d.png", counts, ["a", "b"]) != map_of(tmp_path / "f.png", [[7, 0], [1, 5]], ["a", "b"])


def test_the_curves_are_three_panels_wide(tmp_path):
    curves(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    assert image.format == "PNG" and image.size == (1500, 400)  # 15 x 4 inches of 100 dots
    pixels = np.asarray(image.convert("L"))
    assert all((panel < 128).sum() > 500 for panel in np.array_split(pixels, 3, axis=1))


def test_one_epoch_is_enough_to_draw(tmp_path):
    assert curves(tmp_path / "a.png", HISTORY[:1], RATES[:1]) != curves(tmp_path / "b.png")


@pytest.mark.parametrize("count", [2, 10, 31])
def test_the_map_grows_with_the_classes_and_its_diagonal_is_dark(tmp_path, count):
    map_of(tmp_path / "a.png", np.eye(count, dtype=int) * 9, [f"class {index}" for index in range(count)])
    image = Image.open(tmp_path / "a.png")
    side = max(4.0, 0.5 * count + 2)
    assert image.size == (round(100 * (side + 1)), round(100 * side))
    blue = np.asarray(image.convert("RGB")).astype(int)
    dark = (blue[..., 2] - blue[..., 0] > 60) & (blue[..., 0] < 40)
    rows, columns = np.nonzero(dark[:, : int(0.8 * image.size[0])])  # left of the colour bar
    # Of n filled squares along a diagonal, the coordinates correlate by 1 - 1 / n^2.
    assert np.corrcoef(rows, columns)[0, 1] == pytest.approx(1 - 1 / count**2, abs=0.05)


@pytest.mark.parametrize(
    "classes", [["été", "groß"], ["$_$", "US$ 1_000$"], ["_hidden", "100 %"], ["a\\b", "{x}^2"]], ids=repr
)
def test_any_class_name_can_be_drawn(tmp_path, classes):
    map_of(tmp_path / "a.png", [[3, 1], [0, 2]], classes)
    assert Image.open(tmp_path / "a.png").size == (500, 400)


def test_a_class_without_images_is_an_empty_row(tmp_path):
    map_of(tmp_path / "a.png", [[3, 1], [0, 0]], ["a", "b"])
    assert Image.open(tmp_path / "a.png").format == "PNG"


def grid(path, count, channels=3, height=16, width=28, classes=("cat", "dog")):
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    shares = np.eye(len(classes), dtype=np.float32)[np.arange(count) % len(classes)]
    batch_grid(path, images, shares, list(classes))
    return path.read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_batches_draw_equal_bytes_and_others_do_not(tmp_path, channels):
    first = grid(tmp_path / "a.png", 3, channels)
    assert first == grid(tmp_path / "b.png", 3, channels)
    assert first != grid(tmp_path / "c.png", 4, channels)
    assert first != grid(tmp_path / "d.png", 3, channels, classes=("cat", "$_$"))


@pytest.mark.parametrize(("count", "columns", "rows"), [(3, 3, 1), (8, 8, 1), (9, 8, 2)])
def test_a_grid_has_at_most_eight_images_a_row(tmp_path, count, columns, rows):
    grid(tmp_path / "a.png", count)
    assert Image.open(tmp_path / "a.png").size == (160 * columns, int(100 * rows * (1.6 * 16 / 28 + 0.3)))


@pytest.mark.parametrize(("channels", "colour"), [(1, 200), (1, 100), (3, (255, 0, 0))])
def test_a_grid_shows_the_pixels_themselves(tmp_path, channels, colour):
    images = np.zeros((1, 8, 8, channels), dtype=np.uint8)
    images[:, :4] = colour
    batch_grid(tmp_path / "a.png", images, np.ones((1, 1), dtype=np.float32), ["cat"])
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    upper, black = ((drawn == one).all(axis=2).sum() for one in (colour, 0))
    assert upper > 5000 and black == pytest.approx(upper, rel=0.1)


def test_a_mixed_image_is_named_by_its_shares_the_larger_first(tmp_path):
    image = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    names = ["cat", "dog", "cow"]

    def drawn(*shares: float) -> bytes:
        batch_grid(tmp_path / "a.png", image, np.array([shares], dtype=np.float32), names)
        return (tmp_path / "a.png").read_bytes()

    assert drawn(0.7, 0.3, 0.0) != drawn(0.3, 0.7, 0.0) != drawn(1.0, 0.0, 0.0)
    assert _caption(np.array([0.3, 0.7, 0.0]), names) == "dog 70 %, cat 30 %"
    assert _caption(np.array([0.0, 0.0, 1.0]), names) == "cow"


def test_the_reliability_of_equal_tables_draws_equal_bytes_and_of_others_does_not(tmp_path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    labels = np.random.default_rng(1).integers(0, 3, 200)

    def drawn(bins: int) -> bytes:
        rows = reliability_rows(labels, probabilities, bins)
        reliability_figure(tmp_path / "a.png", {"before": rows, "after": rows})
        return (tmp_path / "a.png").read_bytes()

    assert drawn(10) == drawn(10) != drawn(5)
    assert Image.open(tmp_path / "a.png").size == (600, 550)
