"""12-bit images through the real stages: what evaluate computed is what `predict` and the served model say."""

import base64
import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import stages.download
import stages.evaluate
import stages.pack
import stages.split
import stages.train
import stages.weights
from tests.conftest import clone
from tests.deep import png16, tiff, write
from tests.presets import write_preset
from vit.config.schema import DataParams
from vit.data.sources.shapes import fetch_shapes
from vit.files import read_json, read_table
from vit.inference.classifier import Classifier
from vit.inference.labelling import predictions
from vit.registry.served import save_served

pytestmark = pytest.mark.long

CHANGES = {"data.source": "folder", "split.strategy": "random", "evaluate.explain_images": 0}
CHANGES |= {
    "train.threads": 1,
    "train.device": "cpu",
    "evaluate.device": "cpu",
    "evaluate.svc_baseline": False,
    "evaluate.invariance": [],
}
LIMITS = {"max_rows": 100, "max_bytes": 10**6, "max_pixels": 10**6, "batch_wait_ms": 5.0, "precision": "float32"}
MOST = 4095


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Iterator[Path]:
    """A clone with a model of four patterns, as 12 bits in PNGs of 16 and in TIFFs of either byte order."""
    folder = clone(tmp_path_factory.mktemp("deep") / "project").folder
    drawn = tmp_path_factory.mktemp("drawn")
    fetch_shapes(DataParams(source="shapes", shapes_per_class=40), drawn, drawn)
    for index, path in enumerate(sorted(drawn.rglob("*.png"))):
        pixels = (np.asarray(Image.open(path)).astype(np.float32) * (MOST / 255)).round().astype(np.uint16)
        content = (png16(pixels), tiff(pixels, "<", compressed=True), tiff(pixels, ">"))[index % 3]
        write(folder / "images" / path.parent.name / f"{path.stem}.{('png', 'tif', 'dat')[index % 3]}", content)
    threads, is_strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", "")
        write_preset(folder / "params.yaml", "shapes", CHANGES)
        for stage in ("download", "split", "pack", "weights", "train", "evaluate"):
            getattr(stages, stage).main()
        yield folder
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(is_strict)


@pytest.fixture(scope="module")
def evaluated(trained) -> tuple[list[Path], np.ndarray]:
    rows = read_table(Path("evaluation/predictions.csv"))
    found = [[float(value) for key, value in row.items() if key.startswith("p_")] for row in rows]
    return [Path("data/raw", row["path"]) for row in rows], np.array(found)


@pytest.fixture(scope="module")
def classifier(trained) -> Classifier:
    return Classifier.load(Path("model"))


def by_class(classifier: Classifier, found: list[dict]) -> np.ndarray:
    return np.array([[one["probabilities"][name] for name in classifier.classes] for one in found])


def test_the_model_knows_the_range_and_learned_something(trained):
    assert read_json(Path("model/config.json"))["value_range"] == [0, MOST]
    assert read_json(Path("metrics/test.json"))["test_accuracy"] > 0.4  # a quarter by guessing


def test_the_program_and_the_server_say_what_evaluate_computed(evaluated, classifier, tmp_path):
    files, expected = evaluated
    assert {file.suffix for file in files} == {".png", ".tif", ".dat"}
    np.testing.assert_allclose(by_class(classifier, classifier.classify(files)), expected, atol=1e-6)
    labelled = list(predictions(classifier, files, 4, on_failure=lambda path, error: pytest.fail(str(error))))
    best = [classifier.classes.index(one.classes[0]) for one in labelled]
    assert best == expected.argmax(axis=1).tolist()
    save_served(tmp_path / "served", Path("model"), LIMITS)
    served = mlflow.pyfunc.load_model(str(tmp_path / "served"))
    rows = pd.DataFrame({"image": [base64.b64encode(file.read_bytes()).decode() for file in files]})
    np.testing.assert_allclose(by_class(classifier, served.predict(rows)), expected, atol=1e-6)


def test_the_same_pixels_in_another_container_get_the_same_prediction(evaluated, classifier):
    files, _ = evaluated
    file = next(file for file in files if file.suffix == ".png")
    stored = np.asarray(Image.open(file))
    others = [tiff(stored.astype(dtype), order) for dtype in ("int16", "int32", "float32") for order in "<>"]
    found = by_class(classifier, classifier.classify([file, *map(BytesIO, others)]))
    assert np.array_equal(found, np.tile(found[0], (7, 1)))


def test_an_8_bit_export_of_an_image_gets_nearly_its_prediction_and_values_out_of_range_are_said(
    evaluated, classifier, caplog
):
    files, _ = evaluated
    file = next(file for file in files if file.suffix == ".png")
    stored = np.asarray(Image.open(file))
    exported = BytesIO()
    Image.fromarray((stored * (255 / MOST)).round().astype(np.uint8)).save(exported, "PNG")
    too_bright = BytesIO(png16(stored * np.uint16(4)))
    with caplog.at_level(logging.WARNING, "vit"):
        found = by_class(classifier, classifier.classify([file, exported, too_bright]))
    np.testing.assert_allclose(found[1], found[0], atol=0.02)
    unscaled = "1 image: 8 bits per channel, left unchanged; the range 0 to 4095 applies to images of more bits"
    assert unscaled in caplog.text
    assert "1 image: values outside the range 0 to 4095 are clipped (the first: image)" in caplog.text
