"""The train stage as several processes, which torchrun starts, against the same as one."""

import csv
import io
import json
import shutil
import time

import psutil
import pytest

from tests.conftest import documented
from tests.presets import write_preset
from tests.trainings.conftest import PARAMS, Trainee
from vit.data.decoded import load_part
from vit.inference.classifier import Classifier
from vit.training.distributed import World
from vit.training.loop import evaluate

TORCHRUN = "torchrun --nproc-per-node 2"
# 100 images would divide evenly; 280 in batches of 27 leave 10, and val's 40 are shared too.
EPOCHS = 5
UNEVEN = {"train.batch_size": 27, "train.epochs": EPOCHS, "train.checkpoint_steps": None}


@pytest.fixture(scope="module")
def alone(packed, tmp_path_factory) -> dict[str, bytes]:
    trainee = Trainee(packed, tmp_path_factory.mktemp("alone") / "a", **UNEVEN)
    trainee.finish()
    return trainee.outputs()


@pytest.fixture(scope="module")
def together(packed, tmp_path_factory) -> tuple[Trainee, dict[str, bytes]]:
    trainee = Trainee(packed, tmp_path_factory.mktemp("together") / "a", **UNEVEN)
    trainee.finish(TORCHRUN)
    return trainee, trainee.outputs()


def history(outputs: dict[str, bytes]) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO(outputs["training/history.csv"].decode()))
    return [{name: float(value) for name, value in row.items()} for row in rows]


def assert_close(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    """After tens of steps, of which each enlarges what rounding made different; an image or two may tip over."""
    for mine, theirs in zip(history(one), history(other), strict=True):
        for name in ("train_loss", "val_loss"):
            assert mine[name] == pytest.approx(theirs[name], rel=2e-3)
        assert mine["train_accuracy"] == pytest.approx(theirs["train_accuracy"], abs=2.5 / 280)
        assert mine["val_accuracy"] == pytest.approx(theirs["val_accuracy"], abs=2.5 / 40)


def test_two_processes_train_as_one_and_only_the_first_writes(alone, together):
    trainee, outputs = together
    assert_close(alone, outputs)
    run = trainee.run()
    assert run.info.status == "FINISHED" and run.data.params["compute.processes"] == "2"
    assert trainee.points("val_accuracy") == list(range(1, EPOCHS + 1))


def test_a_process_that_dies_ends_all_and_the_next_run_goes_on_to_the_very_same_bytes(packed, together, tmp_path):
    trainee = Trainee(packed, tmp_path / "b", **UNEVEN)
    training = trainee.start(TORCHRUN)
    while training.poll() is None and not trainee.checkpoints():
        time.sleep(0.001)
    (second,) = [child for child in psutil.Process(training.pid).children() if child.environ().get("RANK") == "1"]
    second.kill()
    _, errors = training.communicate(timeout=60)
    assert training.returncode != 0
    ours = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(ours) <= 1, errors
    if ours:  # unless torchrun ended the others before they noticed
        assert "process 0 of 2 lost contact with another" in ours[0] and "resume from its last checkpoint" in ours[0]
    assert "stages.train FAILED" in errors
    assert 0 < max(trainee.checkpoints()) < EPOCHS * 11
    trainee.finish(TORCHRUN)
    assert trainee.outputs() == together[1]


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_are_taught_as_one(packed, alone, tmp_path, parallel):
    shutil.copytree(packed.folder / "model", packed.folder / "data/weights/teacher", dirs_exist_ok=True)
    soft = {"train.teacher": "somewhere", "train.distillation": "soft"}
    taught = Trainee(packed, tmp_path / "one", **UNEVEN, **soft)
    taught.finish()
    expected = taught.outputs()
    assert history(expected) != history(alone)
    together = Trainee(packed, tmp_path / "two", **UNEVEN, **soft, **{"train.parallel": parallel})
    errors = together.finish(TORCHRUN)
    assert errors.count("soft distillation from somewhere") == 1
    assert_close(expected, together.outputs())


@pytest.mark.slow
def test_weights_divided_among_processes_train_as_whole_ones_and_are_gone_on_with(packed, alone, tmp_path):
    trainee = Trainee(packed, tmp_path / "c", **UNEVEN, **{"train.parallel": "fsdp"})
    trainee.finish(TORCHRUN)
    outputs = trainee.outputs()
    assert_close(alone, outputs)
    killed = Trainee(packed, tmp_path / "d", **UNEVEN, **{"train.parallel": "fsdp"})
    training = killed.start(TORCHRUN)
    while training.poll() is None and not killed.checkpoints():
        time.sleep(0.001)
    for child in psutil.Process(training.pid).children():
        child.kill()
    training.communicate(timeout=60)
    assert training.returncode != 0
    killed.finish(TORCHRUN)
    assert killed.outputs() == outputs


@pytest.mark.slow
def test_the_launcher_of_the_parameters_is_what_dvc_runs(packed):
    write_preset(packed.folder / "params.yaml", "shapes", PARAMS | {"train.epochs": 2, "train.warmup_epochs": 1})
    done = packed.run(documented("dvc exp run -S 'train.launcher"))
    assert f"> {TORCHRUN} -m stages.train" in done.stdout and "2 processes on cpu" in done.stdout
    assert done.stdout.count("multiply-adds") == 1  # the first process alone prints the table of layers


@pytest.mark.slow
def test_of_two_processes_the_kept_statistics_of_batch_norm_are_those_that_val_judged(packed, tmp_path):
    cnn = {"model.name": "cnn", "train.precision": "float32", "train.epochs": 2, "train.warmup_epochs": 1}
    trainee = Trainee(packed, tmp_path / "e", **UNEVEN | cnn)
    errors = trainee.finish(TORCHRUN)
    assert errors.count("batch norm normalizes each of the 2 micro-batches separately") == 1
    best = json.loads((packed.folder / "metrics/train.json").read_text())
    raw, splits, arrays = (packed.folder / "data" / name for name in ("raw", "splits", "packed"))
    val = load_part(arrays, "val", raw, splits)
    judged = evaluate(Classifier.load(packed.folder / "model"), val, 256, World())
    assert (judged.loss, judged.accuracy) == pytest.approx((best["best_val_loss"], best["best_val_accuracy"]), rel=1e-5)
