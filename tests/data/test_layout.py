"""Which folders are classes and which are parts, decided by names alone."""

from pathlib import Path

import pytest

from vit.data.sources.layout import arrange
from vit.errors import UserError


def arranged(*images: str) -> dict[str, str]:
    placed = arrange([Path(image) for image in images], Path("pets"))
    return {str(one.image): str(one.destination) for one in placed}


def test_the_classes_are_the_first_folders_that_part_the_images():
    assert arranged("download/pets/cat/1.png", "download/pets/dog/far/away/2.png") == {
        "download/pets/cat/1.png": "cat/1.png",
        "download/pets/dog/far/away/2.png": "dog/far/away/2.png",
    }


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "VALIDATION", "testing"), ("TRAIN", "Valid", "Test")],
)
def test_parts_above_the_classes_are_kept_under_one_spelling(train, val, test):
    assert arranged(f"x/{train}/cat/1.png", f"x/{val}/dog/1.png", f"x/{test}/cat/1.png", f"x/{train}/dog/a/1.png") == {
        f"x/{train}/cat/1.png": "cat/train/1.png",
        f"x/{val}/dog/1.png": "dog/val/1.png",
        f"x/{test}/cat/1.png": "cat/test/1.png",
        f"x/{train}/dog/a/1.png": "dog/train/a/1.png",
    }


def test_a_validation_part_may_be_absent():
    assert list(arranged("train/cat/1.png", "test/dog/1.png").values()) == ["cat/train/1.png", "dog/test/1.png"]


def test_parts_inside_the_classes_are_kept_under_one_spelling():
    assert list(arranged("cat/Training/1.png", "cat/test/1.png", "dog/train/1.png", "dog/Valid/1.png").values()) == [
        "cat/train/1.png",
        "cat/test/1.png",
        "dog/train/1.png",
        "dog/val/1.png",
    ]


def test_a_folder_between_parts_and_classes_is_passed():
    assert list(arranged("train/images/cat/1.png", "test/images/dog/1.png").values()) == [
        "cat/train/1.png",
        "dog/test/1.png",
    ]


def test_the_classes_are_those_of_all_parts():
    classes = {name.split("/")[0] for name in arranged("train/cat/1.png", "train/dog/1.png", "test/emu/1.png").values()}
    assert classes == {"cat", "dog", "emu"}


def test_a_lone_part_is_no_split():
    assert list(arranged("train/cat/1.png", "train/dog/1.png").values()) == ["cat/1.png", "dog/1.png"]


def test_other_folders_inside_a_class_belong_to_its_names():
    assert list(arranged("cat/indoors/1.png", "cat/1.png", "dog/1.png").values()) == [
        "cat/indoors/1.png",
        "cat/1.png",
        "dog/1.png",
    ]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["1.png"], "'1.png' lies in no class; one directory per class"),
        (["1.png", "2.png"], "'1.png' lies in no class; one directory per class"),
        (["cat/1.png", "1.png"], "'1.png' lies beside the class directories"),
        (["all/cat/1.png", "all/dog/1.png", "all/1.png"], "'1.png' lies beside the class directories"),
        (["all/cat/1.png", "all/cat/2.png"], "one class only ('cat')"),
        (["train/cat/1.png", "test/cat/1.png"], "one class only ('cat')"),
        (["train/1.png", "cats/1.png"], "'train' would be a part of a split data set, but 'cats' beside it is none"),
        (["Train/a/1.png", "x/a/1.png", "y/1.png"], "'Train' would be a part of a split data set, but 'x', 'y' beside"),
        (["train/cat/1.png", "val/dog/1.png"], "already split into 'train', 'val', without test;"),
        (["Valid/cat/1.png", "testing/dog/1.png"], "already split into 'Valid', 'testing', without train;"),
        (["val/cat/1.png", "validation/dog/1.png"], "already split into 'val', 'validation', without train and test;"),
        (["train/cat/1.png", "train/dog/1.png", "test/1.png"], "'test/1.png' lies in no class; every part needs"),
        (["cat/train/1.png", "dog/val/1.png"], "already split into 'train', 'val', without test;"),
        (["cat/train/1.png", "cat/test/1.png", "dog/1.png"], "'dog/1.png' lies in no part, while other images"),
        (["cat/train/1.png", "cat/new/1.png", "dog/train/1.png"], "'train' would be a part of a split data set"),
        (["cat/test/1.png", "cat/Test/1.png", "dog/train/1.png"], "'cat/test/1.png' and 'cat/Test/1.png' would both"),
        (["train/a/1.png", "training/a/1.png", "test/b/1.png"], "'training/a/1.png' would both become 'a/train/1.png'"),
    ],
)
def test_folders_that_are_no_classes_are_refused_by_name(images, message):
    with pytest.raises(UserError) as caught:
        arranged(*images)
    assert str(caught.value).startswith("pets: ")
    assert message in str(caught.value)
