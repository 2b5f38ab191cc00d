"""Contents to publish: an untrained model, a table of real images in parts, and answers on val of the test's choice."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.presets import preset
from tests.shapes import CLASSES, shapes, untrained
from vit.config.register import SERVING
from vit.data.audit.scan import look
from vit.data.manifest import list_images
from vit.files import sha256_of, write_table
from vit.registry.evidence import Candidacy
from vit.registry.publish import Content
from vit.tracking.run import RunDescription, training_points

PER_CLASS = 40
VAL = 100  # of the 160 images; the others are train


@dataclass
class Publisher:
    """Contents of a folder with drawn images, `raw0`; their rules are those of presets/shapes.yaml."""

    folder: Path
    rows: list[dict]  # of the images, without their part

    @classmethod
    def new(cls, folder: Path) -> "Publisher":
        shapes(folder, PER_CLASS)
        rows = []
        for row in sorted(list_images(folder / "raw0"), key=lambda row: hashlib.md5(row.path.encode()).digest()):
            seen = look(folder / "raw0" / row.path)
            rows.append(row._asdict() | {"part": "", "file_sha256": seen.file, "pixels_sha256": seen.pixels})
        return cls(folder, rows)

    def parts(self, train: slice = slice(VAL, None), val: slice = slice(VAL)) -> list[dict]:
        """The table of images, those of two slices in train and val; by default 60 and 100 of them."""
        return [row | {"part": part} for part, chosen in (("train", train), ("val", val)) for row in self.rows[chosen]]

    def content(
        self,
        number: int,
        right: Sequence[bool] | int,
        images: list[dict] | None = None,
        may_lead: bool = True,
        leakage: float = 0.0,
        val_leakage: float | None = 0.0,
        confidence: float = 0.7,
        rules: dict | None = None,
        **model: object,
    ) -> Content:
        """A content with a key of its own that is `right` about these val images, or about the first so many.

        `rules` and `model` change values of the blocks register and model.
        """
        folder = self.folder / f"content{number}"
        folder.mkdir(exist_ok=True)
        changes = {f"register.{key}": value for key, value in (rules or {}).items()}
        params = preset(folder, "shapes", changes | {f"model.{key}": value for key, value in model.items()})
        classifier = untrained(params, shapes(folder, per_class=1))
        classifier.save(folder / "model", classifier.model.state_dict())
        images = self.parts() if images is None else images
        val = [row for row in images if row["part"] == "val"]
        right = [index < right for index in range(len(val))] if isinstance(right, int) else right
        write_table(folder / "images.csv", images)
        answers = [_answer(row, good, confidence) for row, good in zip(val, right, strict=True)]
        write_table(folder / "val_predictions.csv", answers)
        accuracy = sum(right) / len(right)
        history = [{"epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "val_accuracy": accuracy}]
        return Content(
            description=RunDescription(
                f"key{number}" * 12, f"run {number}", {"model.depth": params.model.depth}, {}, "0" * 64, "shapes"
            ),
            version_key=f"{number:02d}" * 32,
            files_key=sha256_of(folder / "images.csv", folder / "val_predictions.csv", folder / "params.yaml"),
            points=lambda: training_points(history, [0.1], []),
            summary={
                "best_val_accuracy": accuracy,
                "val_images": len(val),
                "test_accuracy": 0.5,
                "test_accuracy_low": 0.4,
                "test_accuracy_high": 0.6,
            },
            details={},
            run_tags=lambda: {"md5/a": "b"},
            version_tags={"train_sha256": f"train {number}", "val_sha256": f"val {number}"},
            artifacts={"audit": [folder / "images.csv"], "evaluation": [folder / "val_predictions.csv"]},
            model_folder=folder / "model",
            serving=params.register_.model_dump(include=SERVING),
            card=f"card {number}",
            candidacy=Candidacy(
                rules=params.register_,
                may_lead=may_lead,
                images=folder / "images.csv",
                predictions=folder / "val_predictions.csv",
                model=folder / "model",
                raw=self.folder / "raw0",
                leakage=leakage,
                val_leakage=val_leakage,
                ece_bins=params.evaluate.ece_bins,
            ),
        )


def _answer(row: dict, right: bool, confidence: float) -> dict:
    wrong = CLASSES[(CLASSES.index(row["label"]) + 1) % len(CLASSES)]
    best = row["label"] if right else wrong
    others = (1 - confidence) / (len(CLASSES) - 1)
    probabilities = {f"p_{name}": confidence if name == best else others for name in CLASSES}
    return {
        "path": row["path"],
        "label": row["label"],
        "group": row["group"],
        "prediction": best,
        "confidence": confidence,
        **probabilities,
    }


def of_the_same_run(content: Content, version_key: str) -> Content:
    """Other weights that the same parameters gave: another version, below the same run."""
    return replace(content, version_key=version_key, files_key=f"files of {version_key}")
