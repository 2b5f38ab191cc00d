"""The section `evaluate`."""

from typing import Annotated, Literal

from pydantic import Field

from vit.config.fields import Count, Device, Section, Seed, parameter


class EvaluateParams(Section):
    """-> stages/evaluate.py"""

    batch_size: Count = parameter(256, "predicted at once", "images")
    device: Device = parameter("auto", "as train.device")
    confidence_level: Annotated[float, Field(gt=0, lt=1)] = parameter(0.95, "of the intervals")
    seed: Seed = parameter(0, "of the bootstrap behind the intervals")
    top_k: Count = parameter(3, "k of top-k accuracy; left out where there are no more classes than k")
    ece_bins: Count = parameter(15, "bins of confidence, equally wide, for the expected calibration error")
    slices: list[Annotated[str, Field(min_length=1)]] = parameter(
        ["label"], "each of: label | group | a column of a CSV beside the classes | such a CSV, which lists images"
    )
    questions: dict[str, Annotated[list[str], Field(min_length=1)]] | None = parameter(
        None, "yes-or-no questions, each a name and the classes that mean yes; null: none"
    )
    invariance: list[Literal["hflip", "brightness", "shift", "jpeg"]] = parameter(
        ["hflip", "brightness", "shift", "jpeg"], "changes that should alter no prediction: any of these, or []"
    )
    svc_baseline: bool = parameter(False, "an RBF support vector machine on the same split, for comparison")
    explain_images: Annotated[int, Field(ge=0)] = parameter(
        8, "correct and as many wrong test images in the figures of evaluation/explain; 0: none", "images"
    )
