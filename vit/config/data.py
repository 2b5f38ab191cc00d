"""The sections `data`, `split` and `pack`: from a source of images to arrays of one size."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vit.config.fields import Count, CountOrAuto, Fraction, Named, RangeOrAuto, Section, Seed, parameter


class DataParams(Section):
    """-> stages/download.py"""

    source: Literal["digits", "shapes", "folder", "kaggle", "torchvision", "huggingface"] = parameter(
        "digits", "where the images come from; each key below says which source reads it"
    )
    path: Annotated[str, Field(min_length=1)] = parameter(
        "images",
        "folder: one directory per class, or train, val, test with those inside, or an archive; must exist for every "
        "source; ~ is not expanded; queue and temp runs need an absolute path",
    )
    class_level: CountOrAuto = parameter(
        "auto",
        "folder, kaggle: the level of the class folders, 1 being those directly in it; auto: by names and nesting",
    )
    labels: Named | None = parameter(
        None,
        "folder, kaggle: CSV with a line per image that says its class, such as train.csv, inside data.path; null: "
        "folders are the classes",
    )
    file_column: Named | None = parameter(
        None,
        "folder, kaggle: column of data.labels that names the images, with or without ending; huggingface: column of "
        "images; null: the evident one",
    )
    label_column: Named | None = parameter(
        None, "folder, kaggle: column of data.labels that says the class; huggingface: the same; null: the evident one"
    )
    class_names: Named | None = parameter(
        None, "folder, kaggle: CSV inside data.path with the name of each label of data.labels; null: labels are names"
    )
    kaggle_handle: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] = parameter(
        "balabaskar/tom-and-jerry-image-classification", "kaggle: owner/name"
    )
    kaggle_version: Count | None = parameter(None, "kaggle: version number; null: the newest")
    kaggle_timeout: Count = parameter(60, "kaggle: silence after which an attempt has failed", "seconds")
    kaggle_retries: Annotated[int, Field(ge=0)] = parameter(
        3, "kaggle: attempts after the first, each resuming the download"
    )
    torchvision_name: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")] = parameter(
        "CIFAR10", "torchvision: a class of torchvision.datasets that can download"
    )
    hub_name: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = parameter(None, "huggingface: owner/name")
    hub_revision: Named | None = parameter(
        None, "huggingface: the commit, 40 digits; what may move is refused with the present one to write here"
    )
    hub_config: Named | None = parameter(None, "huggingface: configuration (subset); null: the only or default one")
    hub_splits: dict[str, Literal["train", "val", "test", "pool"]] | None = parameter(
        None,
        "huggingface: what each of its splits is used as, the rest being left out; pool: split anew; null: by their "
        "names",
    )
    shapes_per_class: Count = parameter(100, "shapes: how many of each class", "images")
    shapes_noise: Fraction = parameter(0.25, "shapes: standard deviation of the noise, pixel values being in [0, 1]")
    seed: Seed = parameter(0, "shapes: of the noise")

    @model_validator(mode="after")
    def _the_hub_is_told_what_to_fetch(self):
        if self.source == "huggingface" and self.hub_name is None:
            raise ValueError("source huggingface needs hub_name, such as owner/name")
        uses = set((self.hub_splits or {}).values())
        if uses and uses != {"pool"} and not {"train", "test"} <= uses - {"pool"}:
            raise ValueError(f"hub_splits {self.hub_splits} should name a train and a test split, or pool them all")
        if "pool" in uses and len(uses) > 1:
            raise ValueError(f"hub_splits {self.hub_splits} mixes pool with other uses; pool all, or none")
        return self

    @model_validator(mode="after")
    def _tables_of_labels_lie_with_the_images(self):
        for key in ("labels", "class_names"):
            path = getattr(self, key)
            if path is not None and (
                path.startswith(("/", "~")) or ".." in path.split("/") or not path.endswith(".csv")
            ):
                raise ValueError(f"{key} '{path}' should be the path of a .csv inside data.path, such as train.csv")
        if self.class_names is not None and self.labels is None:
            raise ValueError(f"class_names '{self.class_names}' names the labels of a table; set labels, too")
        if self.labels is not None and self.class_level != "auto":
            raise ValueError(
                f"labels '{self.labels}' and class_level {self.class_level} both say what is a class; leave one out"
            )
        return self


class SplitParams(Section):
    """-> stages/split.py"""

    strategy: Literal["auto", "random", "blocks", "groups", "folders"] = parameter(
        "auto", "auto: folders if the source is split already, else random unless that leaks"
    )
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = parameter(0.1, "of each class")
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = parameter(0.2, "of each class")
    folds: Annotated[int, Field(ge=2)] | None = parameter(
        None, "k-fold: number of folds; each is the test split once (strategy folders: the val split); null: off"
    )
    fold: Annotated[int, Field(ge=0)] = parameter(0, "k-fold: which one is the test split, from 0")
    block_size: Count = parameter(150, "blocks: consecutive frames that stay together", "frames")
    gap: Annotated[int, Field(ge=0)] = parameter(10, "blocks: frame numbers left out between two splits", "frames")
    group_column: Annotated[str, Field(min_length=1)] | None = parameter(
        None, "groups: column of a CSV that lies beside the classes"
    )
    group_regex: Annotated[str, Field(min_length=1)] | None = parameter(
        None, "groups: regular expression on the path; what its one pair of brackets matches is the group"
    )
    subset_per_class: Count | None = parameter(
        None, "train images kept of each class, smaller subsets within larger ones; val and test stay whole; null: all"
    )
    max_broken_fraction: Fraction = parameter(
        0.01,
        "unreadable images, of all, up to which the pipeline goes on; a class that loses more than a tenth of its "
        "images for any reason (unreadable, copies, equal pixels under two labels) ends it above this share, too",
    )
    leakage_margin: Fraction = parameter(0.1, "leakage above this is warned of")
    fail_on_leakage: bool = parameter(False, "true: leakage above the margin is an error")
    seed: Seed = parameter(0, "of the assignment")

    @model_validator(mode="after")
    def _groups_have_one_meaning(self):
        if self.group_column is not None and self.group_regex is not None:
            raise ValueError(
                f"group_column '{self.group_column}' and group_regex '{self.group_regex}' are both set; set one to null"
            )
        if self.group_regex is not None:
            try:
                groups = re.compile(self.group_regex).groups
            except re.error as error:
                raise ValueError(f"group_regex '{self.group_regex}' is no regular expression ({error})") from None
            if groups != 1:
                raise ValueError(f"group_regex '{self.group_regex}' has {groups} groups in brackets; it needs one")
        return self

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self):
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is none of the {self.folds} folds, which count from 0")
        return self

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self):
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction {self.val_fraction} + test_fraction {self.test_fraction} leaves nothing to train on; "
                "their sum must be below 1"
            )
        return self


class PackParams(Section):
    """-> stages/pack.py"""

    mode: Literal["arrays", "none"] = parameter(
        "arrays", "arrays: decode once; none: decode in every epoch, for what does not fit on the disk"
    )
    image_size: Annotated[list[Count], Field(min_length=2, max_length=2)] = parameter(
        [224, 224], "[height, width], multiples of model.patch_size", "pixels"
    )
    channels: Literal[1, 3] = parameter(3, "1: grayscale; 3: RGB")
    fit: Literal["crop", "stretch"] = parameter("crop", "crop keeps the aspect ratio")
    margin: Annotated[float, Field(ge=0, le=1)] = parameter(
        0.0, "border packed around train images for random crops, as a share of each side"
    )
    trim_bars: bool = parameter(False, "cut black bars off before resizing")
    value_range: RangeOrAuto = parameter(
        "auto",
        "[low, high] of the values that become 0 to 255 in images of more than 8 bits; auto: found by the audit, from "
        "all images; images of 8 bits stay as they are",
    )
    background: Literal["white", "black", "gray"] = parameter("white", "what transparent pixels lie on")
    workers: CountOrAuto = parameter("auto", "processes that decode; auto: one per core for many images")
