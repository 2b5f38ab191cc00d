"""Which folders are classes and which are splits, decided by names and nesting alone."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vit.data.sources.layout import arrange
from vit.errors import UserError


def arranged(*images: str, class_level: int | str = "auto") -> dict[str, str]:
    placed = arrange([Path(image) for image in images], Path("pets"), class_level)
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
def test_splits_above_the_classes_are_kept_under_one_spelling(train, val, test):
    assert arranged(f"x/{train}/cat/1.png", f"x/{val}/dog/1.png", f"x/{test}/cat/1.png", f"x/{train}/dog/a/1.png") == {
        f"x/{train}/cat/1.png": "cat/train/1.png",
        f"x/{val}/dog/1.png": "dog/val/1.png",
        f"x/{test}/cat/1.png": "cat/test/1.png",
        f"x/{train}/dog/a/1.png": "dog/train/a/1.png",
    }


def test_a_validation_split_may_be_absent():
    assert list(arranged("train/cat/1.png", "test/dog/1.png").values()) == ["cat/train/1.png", "dog/test/1.png"]


def test_splits_inside_the_classes_are_kept_under_one_spelling():
    assert list(arranged("cat/Training/1.png", "cat/test/1.png", "dog/train/1.png", "dog/Valid/1.png").values()) == [
        "cat/train/1.png",
        "cat/test/1.png",
        "dog/train/1.png",
        "dog/val/1.png",
    ]


def test_a_folder_between_splits_and_classes_is_passed():
    assert list(arranged("train/images/cat/1.png", "test/images/dog/1.png").values()) == [
        "cat/train/1.png",
        "dog/test/1.png",
    ]


def test_the_classes_are_those_of_all_splits():
    classes = {name.split("/")[0] for name in arranged("train/cat/1.png", "train/dog/1.png", "test/emu/1.png").values()}
    assert classes == {"cat", "dog", "emu"}


def test_a_lone_split_is_no_split():
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
        (["train/1.png", "cats/1.png"], "'train' would be a split of the data set, but 'cats' beside it is none"),
        (["Train/a/1.png", "x/a/1.png", "y/1.png"], "'Train' would be a split of the data set, but 'x', 'y' beside"),
        (["train/cat/1.png", "val/dog/1.png"], "already split into 'train', 'val', without test;"),
        (["Valid/cat/1.png", "testing/dog/1.png"], "already split into 'Valid', 'testing', without train;"),
        (["val/cat/1.png", "validation/dog/1.png"], "already split into 'val', 'validation', without train and test;"),
        (["train/cat/1.png", "train/dog/1.png", "test/1.png"], "'test/1.png' lies in no class; every split needs"),
        (["cat/train/1.png", "dog/val/1.png"], "already split into 'train', 'val', without test;"),
        (["cat/train/1.png", "cat/test/1.png", "dog/1.png"], "'dog/1.png' lies in no split, while other images"),
        (["cat/train/1.png", "cat/new/1.png", "dog/train/1.png"], "'train' would be a split of the data set"),
        (["cat/test/1.png", "cat/Test/1.png", "dog/train/1.png"], "'cat/test/1.png' and 'cat/Test/1.png' would both"),
        (["train/a/1.png", "training/a/1.png", "test/b/1.png"], "'training/a/1.png' would both become 'a/train/1.png'"),
    ],
)
def test_folders_that_are_no_classes_are_refused_by_name(images, message):
    with pytest.raises(UserError) as caught:
        arranged(*images)
    assert str(caught.value).startswith("pets: ")
    assert message in str(caught.value)


# Splits known by what they are called


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("training_set", {"test_set": "test"}),
        ("Train", {"dev": "val", "Test": "test"}),
        ("imgs_train", {"imgs_val": "val", "imgs_test": "test"}),
        ("train-images", {"validation images": "val", "test-images": "test"}),
        ("trainData", {"testData": "test"}),
        ("TRAINSET", {"VALSET": "val", "TESTSET": "test"}),
        ("train2017", {"val2017": "val", "test2017": "test"}),
        ("train_224x224", {"test_224x224": "test"}),
        ("train", {"eval": "test"}),
        ("train", {"eval": "val", "test": "test"}),
        ("train", {"val": "val", "holdout": "test"}),
        ("training", {"hold-out": "test"}),
        ("asl_alphabet_train", {"asl_alphabet_test": "test"}),
        ("Training", {"PublicTest": "test", "PrivateTest": "test"}),
    ],
)
def test_a_split_is_known_by_common_spellings_and_affixes_above_and_inside_the_classes(train, held_out):
    meant = {train: "train"} | held_out
    above = [f"D/{split}/{label}/{split}{n}.png" for split in meant for label in ("cats", "dogs") for n in range(2)]
    assert arranged(*above) == {
        image: f"{image.split('/')[2]}/{meant[image.split('/')[1]]}/{image.split('/')[3]}" for image in above
    }


@pytest.mark.parametrize(
    ("cats", "dogs"),
    [
        (("training_set", "test_set"), ("training_set", "test_set")),
        (("images/train", "images/dev", "images/test"), ("images/train", "images/dev", "images/test")),
        (("cats_train", "cats_test"), ("dogs_train", "dogs_test")),
    ],
)
def test_such_names_are_splits_inside_the_classes_too(cats, dogs):
    images = [f"cats/{split}/1.png" for split in cats] + [f"dogs/{split}/1.png" for split in dogs]
    splits = {image: destination.split("/")[1] for image, destination in arranged(*images).items()}
    assert all(splits[image] in image or (splits[image], image.split("/")[2]) == ("val", "dev") for image in images)


def test_each_split_may_have_folders_of_its_own_around_its_classes():
    assert list(
        arranged(
            "D/training_set/training_set/cats/1.png",
            "D/training_set/training_set/dogs/1.png",
            "D/test_set/cats/a/2.png",
            "D/val/images/all/dogs/3.png",
        ).values()
    ) == ["cats/train/1.png", "dogs/train/1.png", "cats/test/a/2.png", "dogs/val/3.png"]


def test_folders_within_the_only_class_of_a_split_are_no_classes():
    images = ("train/cat/1.png", "train/dog/1.png", "test/dog/near/2.png", "test/dog/far/3.png")
    assert {name.split("/")[0] for name in arranged(*images).values()} == {"cat", "dog"}


@pytest.mark.parametrize(
    "names",
    [
        ("car", "trains", "plane"),
        ("freight_train", "passenger_train"),
        ("freight_train", "crash_test"),
        ("contest", "latest", "attest"),
        ("dev", "prod"),
        ("evaluation", "meeting"),
        ("test_tube", "flask"),
        ("training_wheels", "saddle"),
        ("invalid", "unknown"),
    ],
)
def test_a_class_is_no_split_because_of_letters_or_words_in_its_name(names):
    assert list(arranged(*(f"{name}/1.png" for name in names)).values()) == [f"{name}/1.png" for name in names]


@pytest.mark.parametrize(
    ("images", "level", "fragments"),
    [
        # A vehicle called train: the names alone say a split, so a person has to say that it is a class.
        (("car/1.png", "train/1.png", "plane/1.png"), 1, ["'train' would be a split", "3 classes, 'car' 1, 'plane' 1"]),
        (("train/1.png", "test/1.png"), 1, ["'train/1.png' lies in no class", "data.class_level=1 if 'train' is"]),
        (("toy_train/1.png", "toy_test/1.png"), 1, ["'toy_test', 'toy_train' are classes or splits"]),
        (("cats/1.png", "dogs/1.png", "test_set/cats/1.png"), 1, ["'test_set' would be a split of the data set"]),
        (("cats/1.png", "dogs/1.png", "new/cats/1.png", "new/dogs/1.png"), 1, ["'new' holds 'cats', 'dogs', which"]),
        (("train/a/1.png", "train/b/1.png", "val/a/2.png"), 2, ["without test;", "data.class_level=2 to split all"]),
        (("train/a/1.png", "test/b/1.png", "extra/b/1.png"), 2, ["'extra' beside it is none", "=2: 2 classes, 'a' 1"]),
        (("cat/train/1.png", "cat/val/1.png", "dog/train/1.png"), 1, ["without test;", "data.class_level=1 to split"]),
        (
            ("cat/test/1.png", "cat/field/1.png", "dog/test/1.png"),
            1,
            ["'test' would be a split", "=1: 2 classes, 'cat'"],
        ),
    ],
)
def test_what_names_leave_open_is_refused_and_settled_by_the_level_that_the_error_names(images, level, fragments):
    with pytest.raises(UserError) as caught:
        arranged(*images)
    assert f"data.class_level={level}" in str(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)
    settled = arranged(*images, class_level=level)
    assert {name.split("/")[0] for name in settled.values()} == {image.split("/")[level - 1] for image in images}


# Classes and splits known by what they hold


@pytest.mark.parametrize(
    ("upper", "lower"),
    [
        (("A", "B"), ("cats", "dogs")),
        (("cats", "dogs"), ("indoor", "outdoor")),
        (("Lernen", "Prüfen"), ("Hund", "Katze")),
        (("camera1", "camera2", "camera3"), ("0", "1", "2")),
        (("images", "masks"), ("cats", "dogs")),
    ],
)
def test_folders_that_hold_the_same_folders_are_refused_with_both_readings(upper, lower):
    images = [f"D/{one}/{other}/{n}.png" for one in upper for other in lower for n in range(3)]
    with pytest.raises(UserError) as caught:
        arranged(*images)
    first, second = (f"'{names[0]}' {3 * len(others)}" for names, others in ((upper, lower), (lower, upper)))
    assert f"data.class_level=2: {len(upper)} classes, {first}" in str(caught.value)
    assert f"data.class_level=3: {len(lower)} classes, {second}" in str(caught.value)
    assert arranged(*images, class_level=2)[images[0]] == f"{upper[0]}/{lower[0]}/0.png"
    assert arranged(*images, class_level=3)[images[0]] == f"{lower[0]}/{upper[0]}/0.png"


def test_classes_below_splits_inside_other_folders_are_refused_and_settled_by_their_level():
    images = [
        f"{kind}/{split}/{label}/1.png"
        for kind in ("drawings", "photos")
        for split in ("train", "test")
        for label in ("cat", "dog")
    ]
    with pytest.raises(UserError, match=r"=1: 2 classes, 'drawings' 4, 'photos' 4; .*=3: 2 classes, 'cat' 4, 'dog' 4"):
        arranged(*images)
    assert arranged(*images, class_level=1)["drawings/train/cat/1.png"] == "drawings/train/cat/1.png"
    assert arranged(*images, class_level=3)["drawings/train/cat/1.png"] == "cat/train/drawings/1.png"


def test_folders_of_unlike_names_inside_classes_leave_no_doubt():
    patients = {"ill": range(5), "well": range(5, 10)}
    images = [f"{label}/patient{n}/{view}.png" for label in patients for n in patients[label] for view in "ab"]
    assert list(arranged(*images).values()) == images
    assert list(arranged("cat/images/1.png", "dog/images/1.png").values()) == ["cat/images/1.png", "dog/images/1.png"]


def test_a_level_below_which_images_lie_is_refused_with_one_of_them():
    with pytest.raises(UserError, match=r"class_level is 2, but 'A/1.png' lies in no folder of that level, like 1 of"):
        arranged("A/1.png", "A/x/1.png", "A/y/1.png", class_level=2)
    with pytest.raises(UserError, match="one class only \\('D'\\)"):
        arranged("D/x/1.png", "D/y/1.png", class_level=1)


WORDS = ["cat", "dog", "été", "犬", "trains", "0", "12", "sea lion", "contest", "Set", "images of cats", "a.b"]
SPLITS = [
    ("train", "val", "test"),
    ("Training", "Validation", "Testing"),
    ("training_set", "validation_set", "test_set"),
    ("imgs-train", "imgs-dev", "imgs-test"),
    ("pets_train", "pets_val", "pets_test"),
]


@st.composite
def nested(draw) -> tuple[list[str], dict[str, str], list[str]]:
    """Images in splits around classes: their paths, the split that each name of one means, and the classes."""
    names = draw(st.sampled_from(SPLITS))
    meant = dict(zip(names, ("train", "val", "test"), strict=True))
    used = [names[0], names[2]] + ([names[1]] if draw(st.booleans()) else [])
    classes = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=6, unique=True))
    around = draw(st.sampled_from(["", "D/", "D/archive/"]))
    images = []
    for split in used:
        wrapper = draw(st.sampled_from(["", f"{split}/", "pictures/"]))
        inner = draw(st.sampled_from(["", "x/"]))
        fewest = 2 if names[0].startswith("pets") else 1  # a word beside others is no proof, so folders have to be
        some = draw(st.permutations(classes))[: draw(st.integers(fewest, len(classes)))]
        there = classes if split == names[0] else some
        images += [f"{around}{split}/{wrapper}{label}/{inner}{split}{n}.png" for label in there for n in range(2)]
    return images, meant, classes


@hypothesis_settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(nested(), st.randoms(use_true_random=False))
def test_the_classes_of_any_tree_of_splits_and_classes_are_its_classes(tree, random):
    images, meant, classes = tree
    random.shuffle(images)
    found = arranged(*images)
    assert {name.split("/")[0] for name in found.values()} == set(classes)
    for image, destination in found.items():
        label, split = destination.split("/")[:2]
        assert label in image.split("/")
        assert split == next(meaning for name, meaning in meant.items() if name in image.split("/"))


@hypothesis_settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(
    st.lists(st.sampled_from(WORDS), min_size=4, max_size=9, unique=True),
    st.integers(2, 5),
    st.sampled_from(["", "D/"]),
)
def test_no_tree_of_two_levels_of_equal_names_is_read_without_a_word(names, cut, around):
    upper, lower = names[: min(cut, len(names) - 2)], names[min(cut, len(names) - 2) :]
    images = [f"{around}{one}/{other}/1.png" for one in upper for other in lower]
    with pytest.raises(UserError, match="which folders are the classes"):
        arranged(*images)
    first = 1 + around.count("/")
    for level, classes, count in ((first, upper, len(lower)), (first + 1, lower, len(upper))):
        found = arranged(*images, class_level=level)
        assert Counter(name.split("/")[0] for name in found.values()) == dict.fromkeys(classes, count)
