"""The section `register`: the gate, and the limits of the served model."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vit.config.fields import ChoosingMetric, Count, Fraction, Rate, Section, parameter

HIGHEST_CONFIDENCE = 0.999  # of a permutation test by 2,000 draws, whose smallest p is 1 / 2,001


class RegisterParams(Section):
    """-> stages/register.py"""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] = parameter("vit", "the model's name in the MLflow registry")
    metric: ChoosingMetric = parameter(
        "accuracy", "gate: val metric by which candidate and champion are compared; usually that of train.select_by"
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = parameter(
        0.95, "gate: of the interval of the difference, and 1 - p of the paired test, to be called better"
    )
    margin: Rate = parameter(
        0.01, "gate: how much of the metric a cheaper model may lose at most, by the low end of that interval"
    )
    min_images: Count = parameter(
        100, "gate: val images that neither model was trained on; with fewer it refuses", "images"
    )
    min_accuracy: Fraction | None = parameter(None, "floor: accuracy on val; null: off")
    max_ece: Fraction | None = parameter(None, "floor: expected calibration error on val; null: off")
    max_leakage: Fraction | None = parameter(0.1, "floor: largest `leakage` in metrics/split.json; null: off")
    max_rows: Count = parameter(256, "serving: in one request", "images")
    max_bytes: Count = parameter(33554432, "serving: of a request's body", "bytes")
    max_pixels: Count = parameter(50000000, "serving: of all images of a request together, before resizing", "pixels")
    precision: Literal["float32", "bfloat16"] = parameter(
        "float32", "serving: bfloat16 is faster on CPUs with AMX, with probabilities within 0.02"
    )

    @model_validator(mode="after")
    def _resamples_can_show_the_confidence(self):
        if self.metric != "accuracy" and self.confidence > HIGHEST_CONFIDENCE:
            raise ValueError(
                f"confidence {self.confidence} is above {HIGHEST_CONFIDENCE}, the most that the permutation test of "
                f"metric '{self.metric}' can show; lower it, or use accuracy"
            )
        return self
