"""The section `register`: the gate, and the limits of the served model."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vit.config.fields import ChoosingMetric, Count, Fraction, Rate, Section, parameter

SERVING = {"max_rows", "max_bytes", "max_pixels", "batch_wait_ms", "precision"}  # keys that are published with a model
HIGHEST_CONFIDENCE = 0.999  # of a permutation test by 2,000 draws, whose smallest p is 1 / 2,001


class RegisterParams(Section):
    """-> stages/register.py"""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] = parameter("vit", "the model's name in the MLflow registry")
    metric: ChoosingMetric = parameter(
        "accuracy", "gate: val metric by which candidate and champion are compared; usually that of train.select_by"
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = parameter(
        0.95,
        "gate: confidence level for calling a model better, by the paired interval and the paired test; each further "
        "look at the same val images asks for more",
    )
    margin: Rate = parameter(
        0.01, "gate: loss of the metric allowed for a cheaper model, measured at the low end of that interval"
    )
    min_images: Count = parameter(
        100, "gate: fewest val images that neither model was trained on; it refuses below that", "images"
    )
    min_accuracy: Fraction | None = parameter(None, "floor: lowest accuracy on val; null: off")
    max_ece: Fraction | None = parameter(None, "floor: highest expected calibration error on val; null: off")
    max_leakage: Fraction | None = parameter(
        0.1, "floor: highest `leakage` and `val_leakage` in metrics/split.json; null: off"
    )
    max_rows: Count = parameter(256, "serving: most images in one request", "images")
    max_bytes: Count = parameter(33554432, "serving: largest request body", "bytes")
    max_pixels: Count = parameter(
        50000000, "serving: most pixels in one request, over all its images, before resizing", "pixels"
    )
    batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = parameter(
        5.0,
        "serving: longest wait for requests that are being decoded, to compute them together; 0: each request alone",
        "ms",
    )
    precision: Literal["float32", "bfloat16"] = parameter(
        "float32", "serving: bfloat16 is faster on CPUs with AMX or AVX512_BF16; probabilities change by up to 0.02"
    )

    @model_validator(mode="after")
    def _resamples_can_show_the_confidence(self):
        if self.metric != "accuracy" and self.confidence > HIGHEST_CONFIDENCE:
            raise ValueError(
                f"confidence {self.confidence} is above {HIGHEST_CONFIDENCE}, the most that the permutation test of "
                f"metric '{self.metric}' can show; lower it, or use accuracy"
            )
        return self
