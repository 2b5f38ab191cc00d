"""The key of a training's MLflow run: a hash of everything that the training depends on, known before it begins."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from vit.config.files import (
    DVC_YAML,
    FEATURES,
    INIT,
    PARAMS,
    PRETRAINED,
    PRETRAINING_RECORD,
    RAW_RECORD,
    SPLIT_FILES,
    WEIGHTS,
    WEIGHTS_RECORD,
)
from vit.config.params_file import flatten
from vit.config.schema import Params
from vit.data.engine import engine_address
from vit.files import read_json, sha256_of
from vit.release import VERSION
from vit.tracking.run import RunDescription

# The stages whose code can change the weights; earlier stages affect them only through images and split.
STAGES_OF_A_TRAINING = ("pack", "features", "train")


def describe_run(params: Params, compute: dict) -> RunDescription:
    """Key, name, parameters and tags of a training's run; `compute` holds the resolved `auto` choices.

    The key hashes the parameters of the sections up to train, the images and their split, initial, pretrained and
    teacher weights, stored features, the code of pack, features and train as listed in dvc.yaml, and `compute`, which
    affects the last bits of the weights. A changed figure, or another source of the same images, is therefore the same
    training.
    """
    values = params.model_dump(by_alias=True)
    blocks = {name: values[name] for name in ("data", "split", "pack", "model", "pretrain", "train")}
    raw = read_json(RAW_RECORD)
    parts = [
        json.dumps(blocks, sort_keys=True),
        raw["sha256"],
        sha256_of(*SPLIT_FILES),
        json.dumps(weights_digests(), sort_keys=True),
        sha256_of(*sorted(FEATURES.glob("*.npy"))),  # made on any machine, with any number of threads
        sha256_of(*code_of_a_training()),
        json.dumps(compute, sort_keys=True),
    ]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return RunDescription(
        content_key=key,
        name=os.environ.get("DVC_EXP_NAME") or f"{raw['source']}-{key[:7]}",
        params=flatten(blocks) | flatten(compute, "compute."),
        tags=_origin() | weights_digests() | weights_tags(),
        dataset_digest=raw["sha256"],
        dataset_source=raw["source"],
    )


def pretraining_key(params: Params, compute: dict, images: bytes) -> str:
    """The key of the checkpoints of a pretraining: a hash of all that it depends on; `images` stand for those without
    labels."""
    values = params.model_dump(include={"split", "pack", "model", "pretrain"}) | {
        "train": params.train.model_dump(include={"seed", "augment"})
    }
    parts = [
        json.dumps([values, compute], sort_keys=True),
        read_json(RAW_RECORD)["sha256"],
        sha256_of(*SPLIT_FILES, *([INIT / WEIGHTS] if (INIT / WEIGHTS).is_file() else [])),
        sha256_of(*code_of(("pack", "pretrain"))),
    ]
    return hashlib.sha256("\n".join(parts).encode() + images).hexdigest()


def weights_known() -> dict[str, dict | None]:
    """What is known of the weights that a training depends on: `init`, `teacher` and, if pretrained, `pretrained`."""
    record = PRETRAINED / PRETRAINING_RECORD
    return read_json(WEIGHTS_RECORD) | ({"pretrained": read_json(record)} if record.is_file() else {})


def weights_digests() -> dict[str, str]:
    """`init_sha256`, `teacher_sha256` and `pretrained_sha256` of those weights, if there are any."""
    return {f"{role}_sha256": known["sha256"] for role, known in weights_known().items() if known is not None}


def weights_tags() -> dict[str, str]:
    """Where those weights come from, their licence, and whether they have seen images of val or test: `init_source`,
    `init_licence`, `init_url`, `init_images_seen`, and the same of the teacher; `pretrained_method`,
    `pretrained_unlabelled_images`, `pretrained_epochs` and `pretrained_loss`; and of a head made of the class names
    `init_head`, `init_head_templates` and `init_head_prompts_sha256`, the digest of all its texts."""
    told = ("source", "licence", "url", "images_seen", "method", "unlabelled_images", "epochs", "loss")
    told += ("head", "head_templates", "head_prompts_sha256")
    return {
        f"{role}_{key}": str(known[key])
        for role, known in weights_known().items()
        for key in told
        if known and known.get(key)
    }


def code_of_a_training() -> list[Path]:
    """The code of the stages that can change the weights."""
    return code_of(STAGES_OF_A_TRAINING)


def code_of(names: tuple[str, ...]) -> list[Path]:
    """The Python files among the deps of the stages `names`, sorted."""
    stages = YAML(typ="safe", pure=True).load(DVC_YAML)["stages"]
    deps = {dep for stage in names for dep in stages[stage]["deps"]}
    return [Path(dep) for dep in sorted(deps) if dep.endswith(".py")]


def _origin() -> dict[str, str]:
    commit = _git("rev-parse", "HEAD")
    tags = {
        "mlflow.source.git.commit": commit,
        "git_dirty": str(
            bool(_git("status", "--porcelain", "--", "stages", "vit", str(DVC_YAML), str(PARAMS)))
        ).lower(),
        "vit_version": VERSION,
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc_exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "mlflow.parentRunId": os.environ.get("MLFLOW_RUN_ID", ""),  # set by `mlflow run`
        "vit_engine": engine_address() or "",
        "mlflow.source.name": "dvc repro",
    }
    return {name: value for name, value in tags.items() if value}


def _git(*arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return answer.stdout.strip() if answer.returncode == 0 else ""
