"""The names of classes, as people read them."""

import pytest

from tests.data.copied import copied
from tests.drawn import draw
from vit.data.sources.class_names import class_folder, class_folders
from vit.errors import UserError


def test_composed_and_decomposed_letters_are_one_class_and_it_is_said(tmp_path, caplog):
    for number, folder in enumerate(["train/caf\u00e9", "train/tea", "test/cafe\u0301", "test/tea "]):
        draw(tmp_path / "drinks" / folder / f"{number}.png", seed=number)
    found = copied(tmp_path / "drinks", tmp_path)
    assert set(found) == {"caf\u00e9/train/0.png", "tea/train/1.png", "caf\u00e9/test/2.png", "tea/test/3.png"}
    assert any(
        r"'cafe\u0301' and 'caf\xe9' read the same ('café'), and are one class" in text for text in caplog.messages
    )
    assert found.sources["root"] == "drinks"
    assert found.sources["paths"]["caf\u00e9/test/2.png"] == "test/cafe\u0301/2.png"


def test_two_folders_that_read_the_same_are_no_two_classes(tmp_path):
    for folder in ("caf\u00e9", "cafe\u0301"):
        draw(tmp_path / "drinks" / folder / "1.png")
    with pytest.raises(UserError, match="one class only"):
        copied(tmp_path / "drinks", tmp_path)


def test_two_files_of_one_name_in_the_joined_class_are_refused(tmp_path):
    for folder in ("caf\u00e9", "cafe\u0301", "tea"):
        draw(tmp_path / "drinks" / folder / "1.png")
    with pytest.raises(UserError, match=r"would both become 'café/1\.png'"):
        copied(tmp_path / "drinks", tmp_path)


@pytest.mark.parametrize(("label", "folder"), [("black/white", "black_white"), (" n\\a\u00a0", "n_a"), ("0", "0")])
def test_a_label_becomes_the_name_of_a_folder(label, folder):
    assert class_folder(label, "t") == folder


@pytest.mark.parametrize("label", ["", "\u200b ", ".", "..", "x" * 300, "a\0b"])
def test_a_label_that_no_folder_can_have_is_refused(label):
    with pytest.raises(UserError, match="cannot be a class name because it cannot be a folder name"):
        class_folder(label, "t")


def test_labels_that_differ_get_no_common_folder():
    with pytest.raises(UserError, match=r"'black/white', 'black_white'.* would share the folder 'black_white'"):
        class_folders(["black/white", "black_white", "red"], "t")
