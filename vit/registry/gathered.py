"""What `register` publishes of a training, gathered from the outputs of the stages."""

import hashlib
import re
import shutil
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from ruamel.yaml import YAML

from vit.config.files import (
    AUDIT,
    AUDITED_IMAGES,
    CHECKPOINTS,
    CONFIG,
    DVC_LOCK,
    ENVIRONMENT,
    EVALUATION,
    HISTORY,
    LEARNING_RATE,
    MODEL,
    MODEL_SUMMARY,
    PARAMS,
    RAW,
    RAW_RECORD,
    SPLIT_METRICS,
    SPLITS,
    TEST_METRICS,
    TRAIN_METRICS,
    TRAINING,
    VAL_PREDICTIONS,
    WEIGHTS,
)
from vit.config.params_file import flatten
from vit.config.register import SERVING
from vit.config.schema import Params
from vit.files import project_root, read_json, read_table, sha256_of
from vit.registry import receipt
from vit.registry.card import model_card
from vit.registry.evidence import Candidacy
from vit.registry.origin import origin_of, write_provenance
from vit.registry.provenance import provenance_folder
from vit.registry.publish import Content, Published, publish
from vit.tracking.content import SPLIT_FILES, describe_run, weights_digests, weights_known, weights_tags
from vit.tracking.page import SHOWN_PARAMS, runs_page
from vit.tracking.run import training_points
from vit.tracking.store import tracking_uri

EXPLAIN = EVALUATION / "explain"
NOT_IN_A_NAME = re.compile(r"[^-/:. \w]")  # characters that MLflow refuses in the name of a metric or tag
MOST_PARTS = 30  # values of a slice up to which each gets an MLflow metric
RUN_FILES = {
    "": [PARAMS],
    "training": [TRAINING / name for name in (HISTORY, LEARNING_RATE)],
    "evaluation": [
        EVALUATION / MODEL_SUMMARY,
        *(EVALUATION / f"{name}.csv" for name in ("confusion_matrix", "confusion_rates", "per_class", "reliability")),
        *(
            EVALUATION / f"{name}.csv"
            for name in ("slices", "questions", "invariance", "predictions", "val_predictions")
        ),
        *(
            EVALUATION / f"{name}.png"
            for name in ("confusion_matrix", "reliability", "mistakes", "training_curves", "batch")
        ),
    ],
}


def publish_outputs(params: Params) -> str:
    """Publish the outputs in the working folder; what a person is told of it."""
    inputs = receipt.inputs_state()
    with tempfile.TemporaryDirectory() as folder:
        content = gather(params, Path(folder))
        published = publish(content, params.register_.name)
        # By now the outputs of train are in DVC's cache.
        shutil.rmtree(checkpoints_of(content.description.content_key), ignore_errors=True)
        receipt.keep(
            inputs,
            content.description.content_key,
            (published.run.info.artifact_uri, published.location),
            lambda: _said(publish(content, params.register_.name)),
        )
    return _said(published)


def _said(published: Published) -> str:
    state = "published" if published.changed else "already published"
    run, version = published.run.info.run_name, published.version
    lines = [f"{state}: run '{run}', version {version.version} of '{version.name}', which {published.verdict}"]
    uri = tracking_uri()
    start = "" if uri.startswith("http") else "`mlflow ui`, then "
    lines.append(f"see all runs: {start}{runs_page(uri, published.run.info.experiment_id)}")
    return "\n".join(lines)


def checkpoints_of(content_key: str) -> Path:
    """The folder with this training's checkpoints and the record of its environment."""
    return project_root() / CHECKPOINTS / content_key


def gather(params: Params, temporary: Path) -> Content:
    """Everything to publish, read from the outputs of earlier stages; new files go to the folder `temporary`."""
    config = read_json(MODEL / CONFIG)
    history = [{key: float(value) for key, value in row.items()} for row in read_table(TRAINING / HISTORY)]
    history = [row | {"epoch": int(row["epoch"])} for row in history]
    rates = [float(row["learning_rate"]) for row in read_table(TRAINING / LEARNING_RATE)]
    metrics = [SPLIT_METRICS, TRAIN_METRICS, TEST_METRICS]
    summary = {name: value for path in metrics for name, value in read_json(path).items()}
    audit = sorted(AUDIT.iterdir())
    explain = sorted(EXPLAIN.glob("*"))  # none if evaluate.explain_images is 0
    shown = [*audit, *explain, *(file for files in RUN_FILES.values() for file in files)]
    files = [MODEL / WEIGHTS, MODEL / CONFIG, *shown]
    raw = read_json(RAW_RECORD)
    description = describe_run(params, config["compute"])
    version_key = version_key_in(Path())
    parts = {f"{part}_sha256": part_digest(raw, part) for part in ("train", "val", "test")}
    digests = {"weights_sha256": sha256_of(MODEL / WEIGHTS), **parts, **weights_digests()}
    weights = weights_known()
    provenance = write_provenance(
        temporary / "provenance",
        origin_of(description.tags, digests, raw, summary, weights),
        checkpoints_of(description.content_key) / ENVIRONMENT,
    )
    return Content(
        description=description,
        version_key=version_key,
        files_key=sha256_of(*files, *metrics),
        points=partial(training_points, history, rates, clock=[]),
        summary=summary,
        details=details(),
        run_tags=lambda: md5_tags() | parts | correction_tags(raw),
        version_tags=digests | weights_tags() | chosen_params(description.params),
        artifacts=RUN_FILES
        | {"audit": audit, "evaluation/explain": explain, provenance_folder(version_key): provenance},
        model_folder=MODEL,
        serving=params.register_.model_dump(include=SERVING),
        card=model_card(params, raw, read_json(AUDIT / "audit.json"), summary, config["temperature"], weights),
        candidacy=Candidacy(
            rules=params.register_,
            may_lead=params.split.subset_per_class is None and params.split.folds is None,
            images=AUDIT / AUDITED_IMAGES,
            predictions=EVALUATION / VAL_PREDICTIONS,
            model=MODEL,
            raw=RAW,
            leakage=summary["leakage"],
            val_leakage=summary.get("val_leakage"),
            ece_bins=params.evaluate.ece_bins,
        ),
    )


def version_key_in(folder: Path) -> str:
    """The key of the version that the outputs in `folder` are published as."""
    return sha256_of(*(folder / file for file in (MODEL / WEIGHTS, MODEL / CONFIG, *SPLIT_FILES)))


def details() -> dict[str, float]:
    """Metrics of the run only: per class, slice, question and change; slices with many values are only in the table."""
    found = {f"test_f1/{_segment(row['class'])}": row["f1"] for row in read_table(EVALUATION / "per_class.csv")}
    slices = read_table(EVALUATION / "slices.csv")
    parts = Counter(row["slice"] for row in slices)
    shown = [row for row in slices if parts[row["slice"]] <= MOST_PARTS]
    found |= {f"test_slice/{_segment(row['slice'])}/{_segment(row['value'])}": row["accuracy"] for row in shown}
    for row in read_table(EVALUATION / "questions.csv"):
        found |= {
            f"test_question/{_segment(row['question'])}/{name}": row[name] for name in ("accuracy", "low", "high", "f1")
        }
    changes = read_table(EVALUATION / "invariance.csv")
    found |= {
        f"test_change/{row['change']}/{name}": row[name] for row in changes for name in ("accuracy", "same_answer")
    }
    return {name: float(value) for name, value in found.items() if value != ""}


def chosen_params(params: dict[str, object]) -> dict[str, str]:
    """The parameters that a version carries as tags: those in the table of runs, and all that differ from their
    defaults."""
    defaults = flatten(Params().model_dump(by_alias=True))
    return {
        key: str(value)
        for key, value in params.items()
        if key in SHOWN_PARAMS or (key in defaults and value != defaults[key])
    }


def _segment(text: str) -> str:
    """Arbitrary text as a segment of a metric's name that MLflow accepts."""
    return NOT_IN_A_NAME.sub("_", text).replace("/", "_").strip(".")[:100] or "_"


def part_digest(raw: dict, part: str) -> str:
    """A digest of a split's images, from the digest of all images and the names of those in the split."""
    names = (SPLITS / f"{part}.csv").read_bytes()
    return hashlib.sha256(raw["sha256"].encode() + names).hexdigest()


def md5_tags() -> dict[str, str]:
    """The md5 of every dep and out of every stage in dvc.lock; a dep outside the repo is called `data.path`."""
    stages = YAML(typ="safe", pure=True).load(DVC_LOCK)["stages"]
    entries = [entry for stage in stages.values() for entry in stage.get("deps", []) + stage.get("outs", [])]
    return {f"md5/{_named(entry['path'])}": entry["md5"] for entry in entries}


def correction_tags(raw: dict) -> dict[str, str]:
    """How many images people's corrections concerned; none without `data.corrections`."""
    return {f"corrections.{what}": str(count) for what, count in raw.get("corrections", {}).items()}


def _named(path: str) -> str:
    outside = Path(path).is_absolute() or ".." in Path(path).parts
    return "data.path" if outside else NOT_IN_A_NAME.sub("_", path)
