"""The sections `data`, `split` and `pack`: from a source of images to arrays of one size."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vit.config.fields import Count, CountOrAuto, Fraction, Named, Section, Seed, parameter


class DataParams(Section):
    """-> stages/download.py"""

    source: Literal["digits", "shapes", "folder", "kaggle", "torchvision", "huggingface"] = parameter(
        "digits", "source of the images; each key below names the source that uses it"
    )
    path: Annotated[str, Field(min_length=1)] = parameter(
        "images",
        "folder: directory with one directory per class, or with train, val and test that hold those, or an archive "
        "of it; must exist for every source; ~ is not expanded; queued and --temp runs need an absolute path, or one "
        "that DVC tracks",
    )
    class_level: CountOrAuto = parameter(
        "auto",
        "folder, kaggle: the level of the class folders, 1 being those directly in it; auto: by names and nesting",
    )
    labels: Named | None = parameter(
        None,
        "folder, kaggle: CSV inside data.path with one row per image and its label, such as train.csv; null: the "
        "directories are the classes",
    )
    file_column: Named | None = parameter(
        None,
        "folder, kaggle: column of data.labels that names the images, with or without file ending; huggingface: "
        "column of images; null: found from the contents",
    )
    label_column: Named | None = parameter(
        None,
        "folder, kaggle: column of data.labels with the label; huggingface: column with the label; null: found from "
        "the header",
    )
    class_names: Named | None = parameter(
        None, "folder, kaggle: CSV inside data.path with the class name of each label; null: labels are class names"
    )
    kaggle_handle: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] = parameter(
        "balabaskar/tom-and-jerry-image-classification", "kaggle: data set, as owner/name"
    )
    kaggle_version: Count | None = parameter(None, "kaggle: version number; null: the latest")
    kaggle_timeout: Count = parameter(60, "kaggle: time without data before an attempt fails", "seconds")
    kaggle_retries: Annotated[int, Field(ge=0)] = parameter(
        3, "kaggle: retries after the first attempt; each resumes the download"
    )
    torchvision_name: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")] = parameter(
        "CIFAR10", "torchvision: a class of torchvision.datasets that can download its data"
    )
    hub_name: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = parameter(
        None, "huggingface: data set, as owner/name"
    )
    hub_revision: Named | None = parameter(
        None, "huggingface: commit, 40 hex digits; a branch or tag is refused, with the current commit to write here"
    )
    hub_config: Named | None = parameter(None, "huggingface: configuration (subset); null: the only or default one")
    hub_splits: dict[str, Literal["train", "val", "test", "pool"]] | None = parameter(
        None,
        "huggingface: use of each of its splits; pool: merged, and split by the section split; splits that are not "
        "named are left out; null: by name",
    )
    corrections: Named | None = parameter(
        None,
        "CSV in feedback/ with labels that a person corrected, such as feedback/labels.csv, applied to the images of "
        "any source; corrected images in feedback/images are added to train; null: off",
    )
    shapes_per_class: Count = parameter(100, "shapes: number per class", "images")
    shapes_noise: Fraction = parameter(0.25, "shapes: standard deviation of the noise; pixel values lie in [0, 1]")
    seed: Seed = parameter(0, "shapes: seed of the noise")

    @model_validator(mode="after")
    def _the_hub_is_told_what_to_fetch(self):
        if self.source == "huggingface" and self.hub_name is None:
            raise ValueError("source huggingface needs hub_name, such as owner/name")
        uses = set((self.hub_splits or {}).values())
        if uses and uses != {"pool"} and not {"train", "test"} <= uses - {"pool"}:
            raise ValueError(f"hub_splits {self.hub_splits} must name a train and a test split, or pool them all")
        if "pool" in uses and len(uses) > 1:
            raise ValueError(f"hub_splits {self.hub_splits} mixes pool with other uses; pool all, or none")
        return self

    @model_validator(mode="after")
    def _corrections_lie_where_dvc_looks(self):
        path = self.corrections
        if path is not None and (not path.startswith("feedback/") or ".." in path.split("/") or path[-4:] != ".csv"):
            raise ValueError(
                f"corrections '{path}' must be a .csv in feedback/, which DVC watches, such as feedback/labels.csv"
            )
        return self

    @model_validator(mode="after")
    def _tables_of_labels_lie_with_the_images(self):
        for key in ("labels", "class_names"):
            path = getattr(self, key)
            if path is not None and (
                path.startswith(("/", "~")) or ".." in path.split("/") or not path.endswith(".csv")
            ):
                raise ValueError(f"{key} '{path}' must be the path of a .csv inside data.path, such as train.csv")
        if self.class_names is not None and self.labels is None:
            raise ValueError(f"class_names '{self.class_names}' names the labels of a table; also set labels")
        if self.labels is not None and self.class_level != "auto":
            raise ValueError(
                f"labels '{self.labels}' and class_level {self.class_level} both define the classes; leave one out"
            )
        return self


class SplitParams(Section):
    """-> stages/split.py"""

    strategy: Literal["auto", "random", "blocks", "groups", "folders"] = parameter(
        "auto", "auto: folders if the source is already split, else random, or blocks or groups if random leaks"
    )
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = parameter(0.1, "share of each class in val")
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = parameter(0.2, "share of each class in test")
    folds: Annotated[int, Field(ge=2)] | None = parameter(
        None, "k-fold: number of folds; each is the test split once (the val split with strategy folders); null: off"
    )
    fold: Annotated[int, Field(ge=0)] = parameter(0, "k-fold: the fold that is the test split, counted from 0")
    block_size: Count = parameter(150, "blocks: consecutive frames that stay in one split", "frames")
    gap: Annotated[int, Field(ge=0)] = parameter(10, "blocks: frame numbers left out between two splits", "frames")
    group_column: Annotated[str, Field(min_length=1)] | None = parameter(
        None, "groups: column with the group, in a CSV beside the class directories"
    )
    group_regex: Annotated[str, Field(min_length=1)] | None = parameter(
        None, "groups: regular expression searched in the path; its one capturing group is the group's name"
    )
    subset_per_class: Count | None = parameter(
        None,
        "train images kept per class; a smaller subset lies within a larger one; val and test stay whole; null: all",
    )
    max_broken_fraction: Fraction = parameter(
        0.01,
        "largest share of unreadable images; the pipeline stops above it, and also if a class loses more than this "
        "share and more than a tenth of its images for any reason (unreadable, copies, equal pixels under two labels)",
    )
    leakage_margin: Fraction = parameter(
        0.1, "leakage of val or test above this causes a warning, and so does a larger difference"
    )
    fail_on_leakage: bool = parameter(False, "true: leakage of val or test above the margin is an error")
    seed: Seed = parameter(0, "seed of the assignment")

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
                raise ValueError(
                    f"group_regex '{self.group_regex}' is not a valid regular expression ({error})"
                ) from None
            if groups != 1:
                raise ValueError(
                    f"group_regex '{self.group_regex}' has {groups} capturing groups; it needs exactly one"
                )
        return self

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self):
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist; the {self.folds} folds are numbered from 0")
        return self

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self):
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction {self.val_fraction} + test_fraction {self.test_fraction} leaves nothing to train on; "
                "their sum must be below 1"
            )
        return self
