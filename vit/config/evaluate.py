"""The section `evaluate`."""

from typing import Annotated, Literal

from pydantic import Field

from vit.config.fields import Count, Device, Section, Seed, parameter


class EvaluateParams(Section):
    """-> stages/evaluate.py"""

    batch_size: Count = parameter(256, "predicted at once", "images")
    device: Device = parameter("auto", "as train.device")
    confidence_level: Annotated[float, Field(gt=0, lt=1)] = parameter(0.95, "confidence level of all intervals")
    seed: Seed = parameter(0, "seed of the bootstrap that gives the intervals")
    top_k: Count = parameter(3, "k of top-k accuracy, which is omitted unless there are more than k classes")
    ece_bins: Count = parameter(15, "confidence bins, equally wide, of the expected calibration error")
    slices: list[Annotated[str, Field(min_length=1)]] = parameter(
        ["label"],
        "accuracy by: label | group | a column of a CSV beside the classes | a CSV, by whether it lists the image",
    )
    questions: dict[str, Annotated[list[str], Field(min_length=1)]] | None = parameter(
        None, "yes-or-no questions: a name, and the classes that mean yes; null: none"
    )
    invariance: list[Literal["hflip", "brightness", "shift", "jpeg"]] = parameter(
        ["hflip", "brightness", "shift", "jpeg"],
        "changes that should not alter a prediction: any of hflip, brightness, shift, jpeg; []: none",
    )
    svc_baseline: bool = parameter(False, "true: also fit an RBF support vector machine to the same split")
    explain_images: Annotated[int, Field(ge=0)] = parameter(
        8, "correct, and as many incorrect, test images to draw in evaluation/explain; 0: none", "images"
    )
