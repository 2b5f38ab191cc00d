"""The evaluate stage on the shapes, after the real stages before it and a training of two epochs."""

import csv
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from mlflow.utils.validation import _validate_metric_name

import stages.download
import stages.evaluate
import stages.pack
import stages.split
import stages.train
from tests.presets import write_preset
from tests.shapes import Training
from vit.config.files import VAL_SAMPLE
from vit.config.params_file import load_params
from vit.data.decoded import load_part
from vit.files import read_json, read_table, sha256_of, write_json
from vit.inference.classifier import Classifier
from vit.registry import gathered
from vit.training.device import choose
from vit.training.distributed import World

pytestmark = pytest.mark.long

CHANGES = {
    "data.shapes_per_class": 30,
    "split.strategy": "random",
    "train.device": "cpu",
    "train.epochs": 2,
    "train.warmup_epochs": 0,
    "evaluate.device": "cpu",
    "evaluate.slices": ["label", "light", "hard.csv"],
    "evaluate.questions": {"bars": ["horizontal_bars", "vertical_bars"], "../odd": ["checkerboard"]},
    "evaluate.explain_images": 1,
    "evaluate.invariance": ["hflip", "brightness", "shift", "jpeg"],
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """A folder with the outputs of the stages up to evaluate."""
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        write_preset(folder / "params.yaml", "shapes", CHANGES)
        stages.download.main()
        (folder / "data/tables/light.csv").write_text("image,light\ndiagonal_gradient/0001.png,//day\n")
        paths = sorted(path.relative_to("data/raw").as_posix() for path in Path("data/raw").rglob("*.png"))
        (folder / "data/tables/hard.csv").write_text("\n".join(["image", *paths[::2]]) + "\n")
        stages.split.main()
        stages.pack.main()
        params = load_params()
        config = read_json(folder / "data/packed/preprocessing.json") | {
            "model": params.model.model_dump(),
            "compute": asdict(choose(params.train, params.model, params.pack.image_size, World())[0]),
        }
        torch.manual_seed(0)
        classifier = Classifier.new(config, torch.device("cpu"))
        train, val = (
            load_part(stages.train.PACKED, part, stages.train.RAW, stages.train.SPLITS) for part in ("train", "val")
        )
        training = Training(params, (train, val), folder / "checkpoints", classifier).run()
        stages.train.save_calibrated(config, classifier.device, training.progress.best_weights, val, 16)
        stages.train.write_outputs(training.progress, training.feed, {})
        stages.evaluate.main()
    return folder


def test_the_predictions_of_val_and_test_are_what_the_model_answers_to_the_files(evaluated):
    classifier = Classifier.load(evaluated / "model")
    for name, part in (("predictions", "test"), ("val_predictions", "val")):
        rows = read_table(evaluated / f"evaluation/{name}.csv")
        assert [row["path"] for row in rows] == [
            row["path"] for row in read_table(evaluated / f"data/splits/{part}.csv")
        ]
        answers = classifier.classify([evaluated / "data/raw" / row["path"] for row in rows])
        assert [row["prediction"] for row in rows] == [answer["label"] for answer in answers]
        expected = [list(answer["probabilities"].values()) for answer in answers]
        found = [[float(row[f"p_{label}"]) for label in classifier.classes] for row in rows]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_metrics_are_those_of_the_predictions(evaluated):
    metrics = read_json(evaluated / "metrics/test.json")
    rows = read_table(evaluated / "evaluation/predictions.csv")
    assert metrics["test_accuracy"] == pytest.approx(np.mean([row["label"] == row["prediction"] for row in rows]))
    assert metrics["test_groups"] == len({row["group"] for row in rows}) == len(rows)
    of_truth = [float(row[f"p_{row['label']}"]) for row in rows]
    assert metrics["test_loss"] == pytest.approx(-np.mean(np.log(of_truth)), rel=1e-5)
    assert metrics["test_ece"] != metrics["test_ece_uncalibrated"]


def test_every_table_counts_every_test_image(evaluated):
    count = len(read_table(evaluated / "data/splits/test.csv"))
    tables = {path.stem: read_table(path) for path in (evaluated / "evaluation").glob("*.csv")}
    assert sum(int(row["images"]) for row in tables["per_class"]) == count
    for name in ("label", "light", "hard.csv"):
        assert sum(int(row["images"]) for row in tables["slices"] if row["slice"] == name) == count
    for answers in ("temperature 1", "fitted temperature"):
        assert sum(int(row["images"]) for row in tables["reliability"] if row["answers"] == answers) == count
    assert [row["question"] for row in tables["questions"]] == ["bars", "../odd"]
    assert [row["change"] for row in tables["invariance"]][:2] == ["hflip", "darker"]
    rates = [sum(float(share) for label, share in row.items() if label) for row in tables["confusion_rates"]]
    assert rates == pytest.approx([1.0] * 4)


def test_register_finds_all_that_it_publishes_and_every_metric_has_a_name_that_mlflow_takes(evaluated, monkeypatch):
    monkeypatch.chdir(evaluated)
    of_run, of_model = {file.name for file in gathered.RUN_FILES["evaluation"]}, {VAL_SAMPLE}
    assert {path.name for path in Path("evaluation").iterdir() if path.is_file()} == of_run | of_model
    details = gathered.details()
    for name in details:
        _validate_metric_name(name)
    assert {"test_f1/checkerboard", "test_slice/hard.csv/listed", "test_question/bars/accuracy"} <= details.keys()
    assert {"test_change/hflip/accuracy", "test_question/_odd/f1"} <= details.keys()


def test_the_curves_mark_the_best_epoch_and_the_grid_shows_the_first_batch(evaluated, tmp_path, monkeypatch):
    shutil.copytree(evaluated / "training", tmp_path / "training")
    monkeypatch.chdir(tmp_path)
    best = read_json(evaluated / "metrics/train.json")["best_epoch"]
    classes = read_json(evaluated / "model/config.json")["classes"]

    def drawn(best_epoch: int) -> list[str]:
        write_json(Path("metrics/train.json"), {"best_epoch": best_epoch})
        stages.evaluate.draw_training(classes)
        return [sha256_of(Path("evaluation", name)) for name in ("training_curves.png", "batch.png")]

    curves, grid = drawn(best)
    assert [curves, grid] == [
        sha256_of(evaluated / "evaluation" / name) for name in ("training_curves.png", "batch.png")
    ]
    other_curves, same_grid = drawn(3 - best)
    assert other_curves != curves and same_grid == grid
    batch = safetensors.numpy.load_file("training/first_batch.safetensors")
    negative = batch | {"images": 255 - batch["images"]}
    safetensors.numpy.save_file(negative, "training/first_batch.safetensors")
    same_curves, other_grid = drawn(best)
    assert same_curves == curves and other_grid != grid


def test_judging_again_gives_the_same_bytes(evaluated, monkeypatch):
    monkeypatch.chdir(evaluated)
    files = [Path("metrics/test.json"), *sorted(path for path in Path("evaluation").rglob("*") if path.is_file())]
    before = [sha256_of(file) for file in files]
    stages.evaluate.main()
    assert [sha256_of(file) for file in files] == before


def test_the_line_for_a_person_names_interval_majority_and_nearest_neighbour(evaluated, monkeypatch, capsys):
    monkeypatch.chdir(evaluated)
    write_preset(evaluated / "params.yaml", "shapes", CHANGES | {"evaluate.questions": None, "evaluate.slices": []})
    stages.evaluate.main()
    line = capsys.readouterr().out.splitlines()[-1]
    metrics = read_json(Path("metrics/test.json")) | read_json(Path("metrics/split.json"))
    assert f"test accuracy {metrics['test_accuracy']:.4f} ({metrics['test_accuracy_low']:.4f} to " in line
    assert f"majority {metrics['majority_accuracy']:.4f}, " in line
    assert f"nearest neighbour {metrics['nearest_neighbour_accuracy']:.4f}" in line
    with Path("evaluation/slices.csv").open() as file:
        assert list(csv.reader(file)) == [["slice", "value", "images", "accuracy", "low", "high"]]
