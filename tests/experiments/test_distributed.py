"""The train stage as several processes, which torchrun starts, against the same as one."""

import csv
import io
import time

import psutil
import pytest
import safetensors.torch
import torch

from tests.experiments.conftest import PARAMS, Trainee

TORCHRUN = "torchrun --nproc-per-node 2"
# 100 images would divide evenly; 280 in batches of 27 leave 10, and val's 40 are shared too.
UNEVEN = {"train.batch_size": 27, "train.checkpoint_steps": None}


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
    for mine, theirs in zip(history(one), history(other), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
    weights = [safetensors.torch.load(outputs["model/model.safetensors"]) for outputs in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        if not name.endswith("qkv.bias"):  # a key's has no gradient but rounding, which AdamW makes as large as any
            torch.testing.assert_close(weight, weights[1][name], atol=2e-3, rtol=0.01, msg=name)


def test_two_processes_train_as_one_and_only_the_first_writes(alone, together):
    trainee, outputs = together
    assert_close(alone, outputs)
    run = trainee.run()
    assert run.info.status == "FINISHED" and run.data.params["compute.processes"] == "2"
    assert trainee.points("val_accuracy") == list(range(1, PARAMS["train.epochs"] + 1))


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
        assert "process 0 of 2 lost another one" in ours[0] and "goes on from its last checkpoint" in ours[0]
    assert "stages.train FAILED" in errors
    assert 0 < max(trainee.checkpoints()) < PARAMS["train.epochs"] * 11 and trainee.run().info.status != "FINISHED"
    trainee.finish(TORCHRUN)
    assert trainee.outputs() == together[1]


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


def test_the_launcher_of_the_parameters_is_what_dvc_runs(packed):
    packed.run("git checkout -q params.yaml && cp presets/shapes.yaml params.yaml")
    command = "dvc repro --dry --single-item train"
    assert "> python -m stages.train" in packed.run(command).stdout
    packed.run(f"sed -i 's/launcher: python  /launcher: {TORCHRUN}  /' params.yaml")
    assert f"> {TORCHRUN} -m stages.train" in packed.run(command).stdout
