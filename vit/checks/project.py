"""The subject from a project's files: the outputs of pack and weights, if they still match params.yaml."""

from pathlib import Path

from vit.checks.answer import Clock
from vit.checks.subject import Subject, new_subject
from vit.config.files import (
    CHECKED,
    DVC_LOCK,
    PACK_MODE,
    PACKED,
    PREPROCESSING,
    PRETRAINED,
    RAW,
    SPLITS,
    WEIGHTS,
    WEIGHTS_BROUGHT,
    WEIGHTS_RECORD,
)
from vit.config.params_file import load_params, read_yaml
from vit.config.schema import Params
from vit.data.decoded import load_part
from vit.data.images import SETTINGS
from vit.data.manifest import read_rows
from vit.errors import UserError
from vit.files import read_json

SECTIONS = {"download": "data", "split": "split", "pack": "pack"}


def subject_of_project(budget: float) -> Subject:
    """The subject in this folder. Raises UserError if images or weights are missing or made with other parameters."""
    clock = Clock(budget)
    params = load_params()
    require_current(params)
    paths = [row.path for row in read_rows(SPLITS / "train.csv")]
    part = load_part(PACKED, "train", RAW, SPLITS)
    if len(paths) != len(part):
        raise _stale(f"{PACKED} holds {len(part)} train images, but {SPLITS}/train.csv lists {len(paths)}")
    out = CHECKED
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    weights = {role: _weights(params, role) for role in ("init", "teacher")}
    if params.pretrain.epochs and (PRETRAINED / WEIGHTS).is_file():  # else the check shows what pretraining begins with
        weights["init"] = PRETRAINED
    return new_subject(params, read_json(PACKED / PREPROCESSING), part, paths, out, clock, **weights)


def require_current(params: Params) -> None:
    """Raises UserError unless data/packed was made from `params`, as far as it and dvc.lock can tell."""
    for path in (PACKED / PREPROCESSING, PACKED / PACK_MODE, SPLITS / "train.csv"):
        if not path.is_file():
            raise UserError(f"{path} is missing: the images are not packed yet; run `dvc repro pack`")
    values = params.model_dump(by_alias=True)
    packed = read_json(PACKED / PREPROCESSING)
    for name in SETTINGS:
        if packed.get(name, values["pack"][name]) != values["pack"][name]:
            raise _stale(f"{PACKED} has pack.{name} {packed[name]}, params.yaml {values['pack'][name]}")
    if DVC_LOCK.is_file():
        _require_locked(values, read_yaml(DVC_LOCK).get("stages", {}))


def _require_locked(values: dict, stages: dict) -> None:
    """Compares the parameters of each stage's last run, that each read the output of the one before, and the size."""
    made: dict[str, str] = {}
    for stage, section in SECTIONS.items():
        locked = stages.get(stage)
        if locked is None:
            raise _stale(f"stage {stage} never ran")
        then = locked.get("params", {}).get("params.yaml", {}).get(section, {})
        for key, value in values[section].items():
            if key in then and then[key] != value:
                raise _stale(f"{PACKED} was made with {section}.{key} {then[key]}, params.yaml has {value}")
        for dep in locked.get("deps", []):
            if dep["path"] in made and made[dep["path"]] != dep.get("md5"):
                raise _stale(f"{dep['path']} has changed since {stage} ran")
        made |= {out["path"]: out.get("md5") for out in locked.get("outs", [])}
    (out,) = (out for out in stages["pack"]["outs"] if out["path"] == PACKED.as_posix())
    size = sum(file.stat().st_size for file in PACKED.rglob("*") if file.is_file())
    if size != out.get("size", size):
        raise _stale(f"{PACKED} holds {size} bytes, by {DVC_LOCK} it should be {out['size']}")


def _weights(params: Params, role: str) -> Path | None:
    """The folder of the weights that train.init_from or train.teacher names; None if neither does."""
    key = {"init": "init_from", "teacher": "teacher"}[role]
    named = getattr(params.train, key)
    if named is None:
        return None
    known = read_json(WEIGHTS_RECORD).get(role) if WEIGHTS_RECORD.is_file() else None
    if known is None or known["source"] != named:
        raise UserError(f"train.{key} is {named}, which is not fetched yet; run `dvc repro weights`")
    return WEIGHTS_BROUGHT / role


def _stale(what: str) -> UserError:
    return UserError(f"the packed images are not those of params.yaml: {what}; run `dvc repro pack`")
