"""Rebuild the state that made a version, evaluate its published weights there, and compare the predictions."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import numpy as np
import safetensors.numpy
from ruamel.yaml import YAML

from vit.config.files import CONFIG, DVC_YAML, EVALUATION, MODEL, PARAMS, PREDICTIONS, TRAIN_METRICS, WEIGHTS
from vit.errors import UserError
from vit.files import read_json, read_table, sha256_of
from vit.registry.provenance import Provenance
from vit.registry.rebuilt import Rebuilt, changed_code, rebuilt
from vit.registry.versions import downloaded
from vit.tracking.environment import differences, environment
from vit.worktrees import CommandFailed

TRAIN, EVALUATE, REGISTER = "train", "evaluate", "register"
EXACT = ("path", "label", "group", "prediction")
TOLERANCE = 1e-5  # of a probability


class Refuted(UserError):
    """The rebuilt state gives a different result from the published one."""


def verify(provenance: Provenance, retrain: bool, say: Callable[[str, str], None]) -> tuple[int, float]:
    """Rebuild, evaluate, compare; returns the number of predictions and the largest difference of a probability.

    `say` receives the name and the result of each step. With `retrain` the training is also repeated. Raises UserError,
    or its subclass Refuted, with the reason.
    """
    with rebuilt(provenance) as state:
        stages = _stages(state.folder, provenance.stages)
        model = state.folder / MODEL
        weights = _published_weights(provenance, state.folder.parent / "published", model, say)
        compute = read_json(model / CONFIG)["compute"]
        if retrain and compute.get("processes", 1) > 1:
            raise UserError(
                f"{provenance.title} was trained by {compute['processes']} processes, but --retrain uses one"
            )
        say("commit", f"{provenance.origin['commit'][:12]} with its params.yaml, dvc.lock and code.diff")
        if changed := changed_code(state.folder, stages):
            raise Refuted(
                f"{provenance.title} is not verified: its dvc.lock lists different code for {', '.join(changed)}"
            )
        say("code", "every file matches dvc.lock")
        made_before = [name for name in stages if name not in (TRAIN, EVALUATE)]
        say("data", f"from {state.restore(made_before)}, by the md5 in dvc.lock")
        if outputs := _needed_of_train(stages):
            state.restore(outputs)  # separately: DVC restores only some of stages and outputs named together
        if provenance.environment is None:
            say("environment", "not recorded, because the training's outputs came from DVC's cache")
        else:
            for difference in differences(provenance.environment, environment("cpu")):
                say("environment", difference)
        _reproduce(state, EVALUATE)
        count, largest = compare_predictions(
            provenance.folder / PREDICTIONS, state.folder / EVALUATION / PREDICTIONS, provenance.title
        )
        say("predictions", f"all {count} labels are equal, probabilities within {largest:.1g}")
        if retrain:
            _resolve_autos(state.folder / PARAMS, compute)
            say("training", "repeated with the original device, precision, attention kernel and threads")
            _reproduce(state, TRAIN, shown=True)
            compare_weights(weights, model / WEIGHTS, provenance.title)
            say("weights", f"equal byte for byte ({weights.stat().st_size:,} bytes)")
    return count, largest


def _stages(tree: Path, locked: dict[str, dict]) -> dict[str, dict]:
    """The entries of dvc.lock for the pipeline's stages up to evaluate; it also keeps entries of removed stages.

    `register` is left out: its entry predates the publication, which happens after the lock file is saved.
    """
    pipeline = YAML(typ="safe", pure=True).load(tree / DVC_YAML)["stages"]
    return {name: locked[name] for name in pipeline if name in locked and name != REGISTER}


def _needed_of_train(stages: dict[str, dict]) -> list[str]:
    """The outputs of train that evaluate needs besides the published model; the metrics are in git."""
    outs = {out["path"] for out in stages[TRAIN]["outs"]} - {str(MODEL), str(TRAIN_METRICS)}
    return [dep["path"] for dep in stages[EVALUATE]["deps"] if dep["path"] in outs]


def _published_weights(provenance: Provenance, target: Path, model: Path, say: Callable[[str, str], None]) -> Path:
    """Put the published model into the rebuilt tree; a second copy survives retraining."""
    version = provenance.version
    with downloaded(f"models:/{version.name}/{version.version}") as folder:
        copytree(folder, target)
    copytree(target, model)
    if sha256_of(target / WEIGHTS) != provenance.origin["digests"]["weights_sha256"]:
        raise Refuted(f"{provenance.title} is not verified: its weights in MLflow are not the published ones")
    say("model", f"published weights, sha256 {provenance.origin['digests']['weights_sha256'][:12]}")
    return target / WEIGHTS


def _reproduce(state: Rebuilt, stage: str, shown: bool = False) -> None:
    try:
        state.reproduce(stage, shown)
    except CommandFailed as error:
        raise UserError(f"stage {stage} failed in the rebuilt state ({error})") from error


def compare_predictions(published: Path, again: Path, title: str) -> tuple[int, float]:
    """Number of rows and the largest difference of a probability. Raises Refuted naming the first row that differs."""
    before, after = read_table(published), read_table(again)
    if [row["path"] for row in before] != [row["path"] for row in after]:
        raise Refuted(
            f"{title} is not verified: its predictions are for different images ({len(before)} then, {len(after)} now)"
        )
    largest = 0.0
    for old, new in zip(before, after, strict=True):
        gaps = {name: _gap(name, old.get(name), new.get(name)) for name in old | new}
        worst = list(gaps)[np.argmax(list(gaps.values()))]  # unlike max, NaN if any is
        if not gaps[worst] <= TOLERANCE:
            raise Refuted(
                f"{title} is not verified: {worst} of {old['path']} was {old.get(worst)} and is now {new.get(worst)}"
            )
        largest = max(largest, gaps[worst])
    return len(before), largest


def _gap(column: str, old: str | None, new: str | None) -> float:
    """The difference of a column in two rows of predictions; infinite if it is missing in one or its text differs."""
    if column in EXACT or old is None or new is None:
        return 0.0 if old == new else float("inf")
    return abs(float(old) - float(new))


def _resolve_autos(params: Path, compute: dict) -> None:
    """Replace every `auto` of train by its original choice: this machine might choose another, with other last bits."""
    yaml = YAML()
    values = yaml.load(params)
    for name, chosen in compute.items():
        if values[TRAIN].get(name) == "auto":
            values[TRAIN][name] = chosen
    yaml.dump(values, params)


def compare_weights(published: Path, again: Path, title: str) -> None:
    """Raises Refuted unless the files are equal byte for byte."""
    if published.read_bytes() == again.read_bytes():
        return
    before, after = (safetensors.numpy.load_file(path) for path in (published, again))
    gaps = {name: float(np.abs(before[name] - after[name]).max()) for name in before.keys() & after.keys()}
    worst = max(gaps, key=gaps.__getitem__, default="none in common")
    raise Refuted(
        f"{title} is not verified: retraining gives different weights "
        f"(largest difference {gaps.get(worst, float('nan')):.1g}, in {worst})"
    )
