"""A clone of the project's last commit in a folder of its own, in which the real pipeline trains what is measured."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient
from ruamel.yaml import YAML

from vit.config.params_file import load_params
from vit.config.presets import load_preset
from vit.config.schema import Params
from vit.data.audit.leakage import nearest_neighbours
from vit.data.audit.scan import scan
from vit.data.manifest import read_rows
from vit.errors import UserError
from vit.files import read_json, read_table

MEASURED = ("vit", "stages", "presets", "dvc.yaml")  # what decides on the figures
AUTHOR = {f"GIT_{who}_{what}": "benchmark" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
Groups = dict[str, list[int]]  # by name of the group: right answers, images


def identity(repo: Path) -> dict[str, str]:
    """The code and the machine that a figure belongs to. Raises UserError if the code is not committed."""
    changed = _git(repo, "status", "--porcelain", "--", *MEASURED)
    if changed:
        raise UserError(f"only what is committed is measured, and {changed.split()[-1]} is not; commit it, or stash it")
    trees = _git(repo, "rev-parse", *(f"HEAD:{name}" for name in MEASURED))
    threads = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return {
        "code": hashlib.sha256(trees.encode()).hexdigest()[:12],
        "machine": f"{platform.machine()}, {threads}, PyTorch {torch.__version__}",
    }


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"git {arguments[0]} in {folder}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Scratch:
    """The clone; what it trains, it publishes to a store of its own."""

    folder: Path

    @classmethod
    def of(cls, repo: Path, folder: Path) -> "Scratch":
        """Clone the last commit of `repo`, or bring an earlier clone up to it, with all that it had trained."""
        if not (folder / ".git").exists():
            _git(repo, "clone", "--quiet", "--no-hardlinks", str(repo), str(folder))
        _git(folder, "fetch", "--quiet", str(repo), "HEAD")
        _git(folder, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        return cls(folder)

    def params(self, preset: str, settings: dict[str, object]) -> Params:
        """The preset with `settings` by dotted key, which becomes the clone's params.yaml."""
        yaml = YAML()
        values = yaml.load(load_preset(preset, self.folder / "presets").text())
        for key, value in settings.items():
            block, name = key.split(".")
            values[block][name] = str(value) if isinstance(value, Path) else value
        yaml.dump(values, self.folder / "params.yaml")
        return load_params(self.folder / "params.yaml")

    def pack(self, preset: str, settings: dict[str, object]) -> None:
        """`dvc repro`, as far as the packed images."""
        self.params(preset, settings)
        self._program("dvc", "repro", "pack")

    def run(self, preset: str, settings: dict[str, object]) -> None:
        """`dvc exp run` with the preset and `settings` by dotted key."""
        self.params(preset, {})
        sets = (f"{key}={'null' if value is None else value}" for key, value in settings.items())
        self._program("dvc", "exp", "run", *(word for one in sets for word in ("-S", one)))

    def keep(self) -> str:
        """Commit the parameters and do one turn of `vit keep`; its results lie in the clone. Returns what it said."""
        self._program("git", "commit", "--quiet", "--all", "--message", "params")
        done = json.loads(self._program("vit", "keep", "--json"))
        self._program("dvc", "exp", "apply", done["experiment"])
        return done["said"]

    def _program(self, *words: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))}
        env = kept | AUTHOR | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}
        command = [sys.executable, "-m", *words] if words[0] == "vit" else words
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            reason = next((line for line in lines if line.startswith("error: ")), lines[-1] if lines else "no word")
            raise UserError(f"`{' '.join(words)}` failed in {self.folder}: {reason}")
        return done.stdout

    def reached(self) -> dict[str, object]:
        """What the last run reached: epochs, seconds of training, accuracy on test with its interval, references."""
        train, test, split = (
            read_json(self.folder / "metrics" / f"{name}.json") for name in ("train", "test", "split")
        )
        return {
            "images": read_json(self.folder / "data/raw.json")["sha256"][:12],
            "train_images": split["train_images"],
            "epochs": len(read_table(self.folder / "training/history.csv")),
            "best_epoch": train["best_epoch"],
            "seconds": self._seconds(),
            **{name: test[f"test_{name}"] for name in ("accuracy", "accuracy_low", "accuracy_high")},
            **({"svc": test["svc_accuracy"]} if "svc_accuracy" in test else {}),
            "nearest_neighbour": split["nearest_neighbour_accuracy"],
        }

    def _seconds(self) -> float:
        """Of all epochs of the training, val included, as it was published."""
        client = MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")
        run_id = client.get_model_version_by_alias("vit", "challenger").run_id
        return sum(point.value for point in client.get_metric_history(run_id, "epoch_seconds"))

    def by_group(self) -> Groups:
        """Right answers and images of each group of the test part."""
        rows = read_table(self.folder / "evaluation/predictions.csv")
        return _by_group([row["group"] for row in rows], [row["label"] == row["prediction"] for row in rows])

    def nearest_by_group(self) -> Groups:
        """The same of the label of the train image with the nearest thumbnail."""
        splits = self.folder / "data/splits"
        train, test = (read_rows(splits / f"{part}.csv") for part in ("train", "test"))
        found = scan(self.folder / "data/raw", [*train, *test])
        place = {row.path: index for index, row in enumerate(found.rows)}
        known, asked = (np.array([place[row.path] for row in rows]) for rows in (train, test))
        nearest = nearest_neighbours(found.looks, known, asked)
        right = [found.rows[index].label == row.label for index, row in zip(nearest, test, strict=True)]
        return _by_group([row.group for row in test], right)


def _by_group(groups: list[str], right: list[bool]) -> Groups:
    counted: Groups = defaultdict(lambda: [0, 0])
    for group, one in zip(groups, right, strict=True):
        counted[group][0] += int(one)
        counted[group][1] += 1
    return dict(sorted(counted.items()))
