"""Maps over images: of a classifier that was trained to find a spot, they are brightest at the spot."""

import threading
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import REPO
from tests.drawn import noise
from tests.presets import preset
from tests.shapes import shapes, untrained
from tests.test_dvc_yaml import imports
from vit.data.batches import normalize, to_unit
from vit.evaluation.explain import SIDE, enlarged, explanation_maps, explanation_png, overlay, rollout_maps
from vit.inference.classifier import Classifier
from vit.source_code import import_closure

MODEL = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0, "qkv_bias": True}
MODEL |= {"name": "vit", "stem": "patch", "stem_widths": [16]}
MODEL |= {"pos_embed": "sincos2d", "norm": "layernorm", "drop_rate": 0.0, "attn_drop_rate": 0.0, "drop_path_rate": 0.0}
GRID = (4, 5)


def spots(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Faint noise with a patch of vertical or of horizontal stripes (class 0, 1) somewhere: images, labels, places."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (count, 16, 20, 1), dtype=np.uint8)
    labels, places = random.integers(0, 2, count), random.integers(0, 20, count)
    for image, label, place in zip(images, labels, places, strict=True):
        row, column = divmod(int(place), GRID[1])
        patch = image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4, 0]
        (patch[::2] if label else patch[:, ::2])[:] = 220
    return torch.from_numpy(images), torch.from_numpy(labels), places


@pytest.fixture(scope="module", params=["cls", "avg"])
def finder(request) -> Classifier:
    """A classifier trained for two seconds to tell the stripes of `spots`."""
    config = {"classes": ["vertical", "horizontal"], "image_size": [16, 20], "channels": 1, "fit": "crop"}
    config |= {"margin": 0.0, "trim_bars": False, "mean": [0.15], "std": [0.15]}
    config |= {"model": MODEL | {"pool": request.param}, "compute": {"attention": "math"}}
    torch.manual_seed(0)
    classifier = Classifier.new(config, torch.device("cpu"))
    optimizer = torch.optim.AdamW(classifier.model.parameters(), lr=3e-3, fused=True)
    for step in range(200):
        images, labels, _ = spots(32, step)
        logits = classifier.model(normalize(to_unit(images), [0.15], [0.15]))
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return classifier


def test_the_map_is_brightest_where_the_class_is_decided(finder):
    images, labels, places = spots(200, 10_000)
    assert (finder.probabilities(images).argmax(axis=1) == labels.numpy()).mean() > 0.97
    maps = explanation_maps(finder, images, labels)
    assert maps.shape == (200, *GRID)
    # By chance it would be one patch in twenty.
    assert (maps.reshape(200, -1).argmax(axis=1) == places).mean() > 0.9


def test_the_png_is_yellow_at_the_spot_and_dark_elsewhere(finder):
    images, labels, places = spots(8, 20_000)
    for image, label, place in zip(images.numpy(), labels.tolist(), places.tolist(), strict=True):
        drawn = Image.open(BytesIO(explanation_png(finder, image, label)))
        assert drawn.format == "PNG" and drawn.mode == "RGB" and drawn.size == (SIDE, round(SIDE * 16 / 20))
        red = np.asarray(drawn)[..., 0].astype(float)
        patches = [patch for band in np.array_split(red, 4) for patch in np.array_split(band, 5, axis=1)]
        means = [patch.mean() for patch in patches]
        assert np.argmax(means) == place


def test_with_average_pooling_the_map_belongs_to_the_label_and_with_a_class_token_to_the_image(finder):
    images, labels, _ = spots(4, 30_000)
    ours, other = (explanation_maps(finder, images, chosen) for chosen in (labels, 1 - labels))
    if finder.config["model"]["pool"] == "cls":
        assert np.array_equal(ours, other) and np.array_equal(ours, rollout_maps(finder, images))
    else:
        assert np.abs(ours - other).max() > 0.1 * ours.max()


def test_equal_questions_get_equal_bytes_also_from_eight_threads_at_once(finder):
    images, labels, _ = spots(8, 40_000)
    asked = list(zip(images.numpy(), labels.tolist(), strict=True))
    expected = [explanation_png(finder, *question) for question in asked]
    found: dict[int, bytes] = {}
    start = threading.Barrier(8)

    def answer(index: int) -> None:
        start.wait()
        with torch.inference_mode():  # as a server would
            found[index] = explanation_png(finder, *asked[index])

    threads = [threading.Thread(target=answer, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(8)] == expected
    assert len(set(expected)) == 8


@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_an_untrained_model_and_read_only_pixels_are_no_trouble(tmp_path, pool):
    part = shapes(tmp_path, 2)
    classifier = untrained(preset(tmp_path, "shapes", {"model.pool": pool, "train.device": "cpu"}), part)
    image = part.images[0].numpy().copy()
    image.flags.writeable = False
    assert Image.open(BytesIO(explanation_png(classifier, image, 3))).size == (SIDE, SIDE)


def test_a_map_without_differences_is_dark_all_over():
    drawn = np.asarray(overlay(noise(8, 8), np.full((2, 2), 0.25)))
    assert drawn.max() <= 0.5 * 255 + 4  # the share of the grey image, and the darkest colour


def test_the_smallest_and_the_largest_value_have_the_ends_of_the_colours():
    black = np.zeros((8, 8, 1), dtype=np.uint8)
    drawn = np.asarray(overlay(black, np.array([[0.0, 0.0], [0.0, 1e-6]])))
    assert np.abs(drawn[0, 0] - [0, 0, 2]).max() < 8  # half of (0, 0, 4)
    assert np.abs(drawn[-1, -1] - [126, 127.5, 82]).max() < 8  # half of (252, 255, 164)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (64, 88), (500, 300), (1, 999)])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_drawn_with_224_pixels_on_its_longer_side(height, width, channels):
    pixels = noise(height, width, channels).reshape(height, width, channels)
    drawn = enlarged(pixels)
    assert max(drawn.size) == SIDE
    assert drawn.width / drawn.height == pytest.approx(width / height, rel=0.02) or min(drawn.size) == 1
    assert drawn.mode == ("RGB" if channels == 3 else "L")


def test_a_server_need_not_have_matplotlib_nor_torchvision_but_for_a_model_from_there():
    paths = import_closure(REPO, "vit/evaluation/explain.py")
    libraries = {name.split(".")[0] for path in paths - {"vit/models/baselines.py"} for name in imports(path)}
    libraries |= {name.split(".")[0] for name in imports("vit/models/baselines.py", at_start_only=True)}
    assert not libraries & {"matplotlib", "sklearn", "torchvision", "mlflow"} and {"PIL", "torch"} <= libraries
