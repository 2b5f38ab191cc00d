"""The gate's evidence: val images that neither model was trained on, and both models' predictions for them."""

import tempfile
from collections.abc import Callable, Sequence
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
from vit.registry.gate import Comparison, Figures, Verdict, at_look, too_few
from vit.registry.versions import downloaded, read_config, run_of

SEED = 0  # of the bootstrap; fixed, so that the verdict depends only on the pair
AT_ONCE = 64  # images that the champion labels in one batch
IMAGES, PREDICTIONS = f"audit/{AUDITED_IMAGES}", f"evaluation/{VAL_PREDICTIONS}"  # of a run


class Incomparable(Exception):
    """Two versions cannot be compared; carries the verdict that says so."""

    def __init__(self, verdict: Verdict):
        super().__init__(str(verdict))
        self.verdict = verdict


@dataclass(frozen=True)
class Candidacy:
    """What the gate needs of a candidate, as files that are read only if there is something to judge.

    `images` is the table of all images of its split with digests, `predictions` the table of its predictions on val,
    `model` the folder of its weights and settings, `raw` the folder that image paths are relative to. `may_lead` is
    False for a model that may become champion only by hand.
    """

    rules: RegisterParams
    may_lead: bool
    images: Path
    predictions: Path
    model: Path
    raw: Path
    leakage: float
    val_leakage: float | None
    ece_bins: int


def figures_of(candidacy: Candidacy) -> Figures:
    """The candidate's figures on its whole val split."""
    rows = read_table(candidacy.predictions)
    correct = np.array([row["prediction"] == row["label"] for row in rows])
    confidence = np.array([float(row["confidence"]) for row in rows])
    error = expected_calibration_error(confidence, correct, candidacy.ece_bins)
    return Figures(float(correct.mean()), error, candidacy.leakage, candidacy.val_leakage)


def compare(
    client: MlflowClient,
    name: str,
    candidacy: Candidacy,
    candidate: ModelVersion,
    champion: ModelVersion,
    count_look: Callable[[Sequence[dict]], int],
) -> Comparison:
    """Both versions on those val images of the candidate that neither was trained on.

    The champion's published predictions are used where they cover the images; otherwise the champion is run.
    `count_look` records the comparison on these images and returns which one it is.
    Raises Incomparable if the two cannot be compared.
    """
    config = read_config(client, name, champion)
    if config is None:
        raise Incomparable(
            Verdict(False, "not comparable", f"champion {champion.version} is not a model of this pipeline")
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
        theirs = _stored_predictions(client, champion, known, Path(folder))
    ours = {row["path"]: row for row in read_table(candidacy.predictions)}
    own_config = read_json(candidacy.model / CONFIG)
    if sorted(config["classes"]) != sorted(own_config["classes"]):
        raise Incomparable(
            Verdict(False, "different classes", f"champion {champion.version} has others; promote by hand")
        )
    left = [row for row in images if row["file_sha256"] not in theirs]
    theirs |= _predict(name, champion, left, candidacy.raw)
    predicted = [theirs[row["file_sha256"]] for row in images], [ours[row["path"]] for row in images]
    look = count_look(images)
    return Comparison(
        images=len(images),
        look=look,
        **_difference(images, predicted, at_look(candidacy.rules, look)),
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
    """The val images in `rows` that are not train images in `rows` or `known`, compared by bytes and by pixels.

    By bytes, because another release of a decoder gives other pixels; by pixels, because a copy may be a new file.
    """
    trained = {digest for row in [*rows, *known] if row["part"] == "train" for digest in _digests(row)}
    return [row for row in rows if row["part"] == "val" and not trained & _digests(row)]


def _digests(row: dict) -> set[str]:
    return {row["file_sha256"], row["pixels_sha256"]}


def _known_images(
    client: MlflowClient, candidate: ModelVersion, champion: ModelVersion, rows: list[dict], folder: Path
) -> list[dict]:
    """The images of the champion's split; the candidate's `rows` if both were published with the same split digests."""
    if table := _fetch(client, champion, IMAGES, folder):
        return read_table(table)
    parts = ("train_sha256", "val_sha256")
    if all(part in champion.tags and champion.tags[part] == candidate.tags.get(part) for part in parts):
        return rows
    unknown = f"champion {champion.version} has no list of its images; promote by hand"
    raise Incomparable(Verdict(False, "unknown training images", unknown))


def _stored_predictions(
    client: MlflowClient, champion: ModelVersion, known: list[dict], folder: Path
) -> dict[str, dict]:
    """The champion's rows of published predictions by file digest; empty if those of its run belong to another version.

    Versions with the same parameters share a run, which holds the files of the latest one.
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
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a failing store is not a missing run
            raise
        return None
    return Path(client.download_artifacts(version.run_id, path, str(folder))) if path in listed else None


def _predict(name: str, version: ModelVersion, images: list[dict], raw: Path) -> dict[str, dict]:
    """A version's predictions for images below `raw` by file digest, as rows of a table of predictions."""
    if not images:
        return {}
    from vit.inference.classifier import Classifier  # late: torch takes seconds to import and is rarely needed

    with downloaded(f"models:/{name}/{version.version}") as folder:
        try:
            classifier = Classifier.load(folder)
        except UserError as error:
            raise Incomparable(_cannot_run(version, error)) from error
    predicted = {}
    for start in range(0, len(images), AT_ONCE):
        batch = images[start : start + AT_ONCE]
        labelled = classifier.classify([raw / row["path"] for row in batch])
        for row, answer in zip(batch, labelled, strict=True):
            shares = {f"p_{label}": share for label, share in answer["probabilities"].items()}
            predicted[row["file_sha256"]] = {"prediction": answer["label"]} | shares
    return predicted
