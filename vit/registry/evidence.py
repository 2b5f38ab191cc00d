"""What the gate goes by: val images on which neither model was trained, and what each of them answers there."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from vit.config.files import AUDITED_IMAGES, CONFIG, VAL_PREDICTIONS
from vit.config.schema import RegisterParams
from vit.errors import UserError
from vit.evaluation.calibration import expected_calibration_error
from vit.evaluation.paired import mcnemar, paired_bootstrap
from vit.files import read_json, read_table
from vit.inference.complexity import cost_of
from vit.registry.gate import Comparison, Figures, Verdict, too_few
from vit.registry.versions import downloaded, read_config, run_of

SEED = 0  # of the bootstrap: the verdict is a function of the pair
AT_ONCE = 64  # images that the champion labels at a time
IMAGES, PREDICTIONS = f"audit/{AUDITED_IMAGES}", f"evaluation/{VAL_PREDICTIONS}"  # of a run


class Incomparable(Exception):
    """Two versions cannot be compared, which is a verdict too."""

    def __init__(self, verdict: Verdict):
        super().__init__(str(verdict))
        self.verdict = verdict


@dataclass(frozen=True)
class Candidacy:
    """What the gate wants to know of a candidate, from files: nothing of it is read unless there is something to judge.

    `images` is the table of all images of its split by content, `predictions` that of its answers on val, `model` its
    folder of weights and settings, `raw` the folder below which the images' paths lead. `may_lead` is False for a
    model that must never become champion by itself.
    """

    rules: RegisterParams
    may_lead: bool
    images: Path
    predictions: Path
    model: Path
    raw: Path
    leakage: float
    ece_bins: int


def figures_of(candidacy: Candidacy) -> Figures:
    """How the candidate does on the whole of its val part."""
    rows = read_table(candidacy.predictions)
    correct = np.array([row["prediction"] == row["label"] for row in rows])
    confidence = np.array([float(row["confidence"]) for row in rows])
    error = expected_calibration_error(confidence, correct, candidacy.ece_bins)
    return Figures(float(correct.mean()), error, candidacy.leakage)


def compare(
    client: MlflowClient, name: str, candidacy: Candidacy, candidate: ModelVersion, champion: ModelVersion
) -> Comparison:
    """Both versions on the val images of the candidate on which neither was trained.

    The champion's answers are those that it was published with where they cover the images; else it is run on them.
    Raises Incomparable if that cannot be.
    """
    config = read_config(client, name, champion)
    if config is None:
        raise Incomparable(
            Verdict(False, "not comparable", f"champion {champion.version} is no model of this pipeline")
        )
    try:
        champion_cost = cost_of(config)
    except UserError as error:
        raise Incomparable(_cannot_run(champion, error)) from error
    rows = read_table(candidacy.images)
    with tempfile.TemporaryDirectory() as folder:
        known = _known_images(client, candidate, champion, rows, Path(folder))
        images = unseen(rows, known)
        if refusal := too_few(len(images), candidacy.rules):
            raise Incomparable(refusal)
        theirs = _stored_answers(client, champion, known, Path(folder))
    ours = {row["path"]: row for row in read_table(candidacy.predictions)}
    own_config = read_json(candidacy.model / CONFIG)
    if sorted(config["classes"]) != sorted(own_config["classes"]):
        raise Incomparable(Verdict(False, "other classes", f"than champion {champion.version} has; promote by hand"))
    left = [row for row in images if row["file_sha256"] not in theirs]
    theirs |= _answers(name, champion, left, candidacy.raw)
    predicted = [theirs[row["file_sha256"]] for row in images], [ours[row["path"]] for row in images]
    return Comparison(
        images=len(images),
        **_difference(images, predicted, candidacy.rules),
        cost=cost_of(own_config),
        champion_cost=champion_cost,
    )


def _difference(images: list[dict], predicted: tuple[list[dict], list[dict]], rules: RegisterParams) -> dict:
    """The fields of a Comparison by `register.metric`, from the rows that champion and candidate predicted."""
    labels, groups = [row["label"] for row in images], np.array([row["group"] for row in images])
    champion_correct, correct = (np.array([row["prediction"] for row in rows]) == labels for rows in predicted)
    accuracies = {"accuracy": float(correct.mean()), "champion_accuracy": float(champion_correct.mean())}
    if rules.metric == "accuracy":
        difference, low, high = paired_bootstrap(champion_correct, correct, groups, rules.confidence, SEED)
        return accuracies | {
            "difference": difference,
            "low": low,
            "high": high,
            "p": mcnemar(champion_correct, correct),
        }
    from vit.evaluation.paired_metrics import compare_by  # late: it imports torch, which costs seconds

    paired = asdict(compare_by(rules.metric, labels, predicted, groups, rules.confidence, SEED))
    scores = {"metric": rules.metric, "champion_score": paired.pop("score_a"), "score": paired.pop("score_b")}
    return accuracies | scores | paired


def unseen(rows: list[dict], known: list[dict]) -> list[dict]:
    """The val images among `rows` that are train images neither there nor in `known`, by their bytes or their pixels.

    By bytes, as another release of a decoder gives other pixels; by pixels, as a copy may have been saved anew.
    """
    trained = {digest for row in [*rows, *known] if row["part"] == "train" for digest in _digests(row)}
    return [row for row in rows if row["part"] == "val" and not trained & _digests(row)]


def _digests(row: dict) -> set[str]:
    return {row["file_sha256"], row["pixels_sha256"]}


def _known_images(
    client: MlflowClient, candidate: ModelVersion, champion: ModelVersion, rows: list[dict], folder: Path
) -> list[dict]:
    """The images of the champion's split: the candidate's own `rows` if both were published with the same digests."""
    if table := _fetch(client, champion, IMAGES, folder):
        return read_table(table)
    parts = ("train_sha256", "val_sha256")
    if all(part in champion.tags and champion.tags[part] == candidate.tags.get(part) for part in parts):
        return rows
    unknown = f"on which champion {champion.version} was trained; promote by hand"
    raise Incomparable(Verdict(False, "nobody knows the images", unknown))


def _stored_answers(client: MlflowClient, champion: ModelVersion, known: list[dict], folder: Path) -> dict[str, dict]:
    """The champion's row of predictions by the bytes of the image, as published; nothing if that is of another version.

    Versions with the same parameters share a run, which shows what was published last.
    """
    table = _fetch(client, champion, PREDICTIONS, folder)
    if table is None or run_of(client, champion).data.tags.get("published") != champion.tags.get("published"):
        return {}
    bytes_of = {row["path"]: row["file_sha256"] for row in known}
    return {bytes_of[row["path"]]: row for row in read_table(table)}


def _cannot_run(champion: ModelVersion, error: UserError) -> Verdict:
    return Verdict(False, "not comparable", f"champion {champion.version} cannot be run ({error}); promote by hand")


def _fetch(client: MlflowClient, version: ModelVersion, path: str, folder: Path) -> Path | None:
    """A file of the version's run, if it has one."""
    if not version.run_id:
        return None
    try:
        listed = {entry.path for entry in client.list_artifacts(version.run_id, str(Path(path).parent))}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a store that fails says nothing about the run
            raise
        return None
    return Path(client.download_artifacts(version.run_id, path, str(folder))) if path in listed else None


def _answers(name: str, version: ModelVersion, images: list[dict], raw: Path) -> dict[str, dict]:
    """What a version predicts for images below `raw`, by the bytes of the image, as rows of a table of predictions."""
    if not images:
        return {}
    from vit.inference.classifier import Classifier  # late: torch costs seconds, and most often there is nothing to run

    with downloaded(f"models:/{name}/{version.version}") as folder:
        try:
            classifier = Classifier.load(folder)
        except UserError as error:
            raise Incomparable(_cannot_run(version, error)) from error
    answers = {}
    for start in range(0, len(images), AT_ONCE):
        batch = images[start : start + AT_ONCE]
        labelled = classifier.classify([raw / row["path"] for row in batch])
        for row, answer in zip(batch, labelled, strict=True):
            shares = {f"p_{label}": share for label, share in answer["probabilities"].items()}
            answers[row["file_sha256"]] = {"prediction": answer["label"]} | shares
    return answers
