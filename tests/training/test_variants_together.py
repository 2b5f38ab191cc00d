"""The variants of public models in two processes, whole and sharded, against one process."""

import json
import os
import subprocess
import sys

import pytest

from tests.models.test_variants import VARIANTS
from tests.presets import REPO

pytestmark = pytest.mark.slow

TRAIN = """
import json, sys
from pathlib import Path

import torch

from tests.models.test_variants import VARIANTS
from tests.presets import preset
from tests.shapes import Training, shapes
from vit.training.distributed import World

folder, parallel, world = Path(sys.argv[1]), sys.argv[2], World.from_environment()
own = folder / f"process{world.rank}"
own.mkdir(parents=True)
parts = shapes(own, 6), shapes(own, 2, seed=1)
settings = {"device": "cpu", "epochs": 2, "warmup_epochs": 0.0, "batch_size": 8, "precision": "float32"}
train = {f"train.{key}": value for key, value in (settings | {"parallel": parallel}).items()}
with world.joined(torch.device("cpu")):
    for number, changes in enumerate(VARIANTS.values()):
        params = preset(own, "shapes", train | {f"model.{key}": value for key, value in changes.items()})
        done = Training(params, parts, folder / f"checkpoints{number}{world.rank}", world=world).run()
        if world.is_first:
            print(json.dumps([done.progress.history[-1][name] for name in ("train_loss", "val_loss")]))
"""


def losses(folder, parallel: str, launcher: list[str]) -> list[list[float]]:
    (folder / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [*launcher, str(folder / "train.py"), str(folder / "out"), parallel],
        cwd=REPO, env=os.environ | {"PYTHONPATH": str(REPO)}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_two_processes_train_each_variant_as_one_does(tmp_path):
    found = {}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    for name, launcher in (("alone", [sys.executable]), ("ddp", torchrun), ("fsdp", torchrun)):
        (tmp_path / name).mkdir()
        found[name] = losses(tmp_path / name, "ddp" if name == "alone" else name, launcher)
    assert len(found["alone"]) == len(VARIANTS)
    for name in ("ddp", "fsdp"):
        for mine, theirs in zip(found[name], found["alone"], strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4)
