import os
import shutil
from pathlib import Path

import pytest

from tests.data.copied import contents, copied
from tests.drawn import draw, draw_classes
from vit.data.sources.fetch import describe
from vit.errors import UserError


def test_classes_are_found_at_depth_beside_other_files(tmp_path):
    root = tmp_path / "download" / "tom_and_jerry"
    images = {
        f"{label}/frame{n}.jpg": draw(root / "tom_and_jerry" / label / f"frame{n}.jpg", seed=n).read_bytes()
        for label, n in (("jerry", 0), ("jerry", 1), ("tom", 2), ("tom_jerry_0", 3), ("tom_jerry_1", 4))
    }
    (root / "ground_truth.csv").write_text("filename,tom,jerry\n")
    (root / "tom_and_jerry" / "challenges.csv").write_text("folder,image_name\n")
    found = copied(tmp_path / "download", tmp_path)
    assert found == images
    assert found.tables == {
        "challenges.csv": b"folder,image_name\n",
        "ground_truth.csv": b"filename,tom,jerry\n",
    }


def test_folders_inside_a_class_belong_to_it(tmp_path):
    draw(tmp_path / "pets" / "cat" / "indoors" / "1.png", seed=1)
    draw(tmp_path / "pets" / "cat" / "outdoors" / "1.png", seed=2)
    draw(tmp_path / "pets" / "cat" / "2.png", seed=3)
    draw(tmp_path / "pets" / "dog" / "1.png", seed=4)
    assert set(copied(tmp_path / "pets", tmp_path)) == {
        "cat/2.png",
        "cat/indoors/1.png",
        "cat/outdoors/1.png",
        "dog/1.png",
    }


def test_every_format_counts_by_its_ending_in_any_case(tmp_path):
    names = {"a/1.PNG", "a/2.JpEg", "a/3.jpg", "a/4.webp", "b/5.TIF", "b/6.tiff", "b/7.BMP", "b/8.Gif"}
    for name in names:
        draw(tmp_path / "pets" / name)
    assert set(copied(tmp_path / "pets", tmp_path)) == names


def test_what_file_browsers_leave_behind_is_no_image(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    for stray in (".DS_Store", "cat/.DS_Store", "cat/._000.png", "cat/.hidden.png", ".thumbnails/000.png"):
        (root / stray).parent.mkdir(exist_ok=True)
        (root / stray).write_bytes(b"\0")
    draw(root / "__MACOSX" / "cat" / "000.png")
    (root / "dog" / "notes.txt").write_text("woof")
    assert set(copied(root, tmp_path)) == {"cat/000.png", "dog/000.png"}


def test_names_may_hold_spaces_and_any_letters(tmp_path):
    names = {"weiße Katze/été 1.png", "犬/2 (copy).png", "100% dog/#3.png"}
    for name in names:
        draw(tmp_path / "my pets" / name)
    assert set(copied(tmp_path / "my pets", tmp_path)) == names


def test_equal_file_names_in_two_classes_stay_two_images(tmp_path):
    first = draw(tmp_path / "pets" / "cat" / "1.png", seed=1).read_bytes()
    second = draw(tmp_path / "pets" / "dog" / "1.png", seed=2).read_bytes()
    assert copied(tmp_path / "pets", tmp_path) == {"cat/1.png": first, "dog/1.png": second}


def test_the_source_is_only_read(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 2, "dog": 2})
    image = root / "cat" / "000.png"
    image.chmod(0o440)
    os.utime(image, ns=(10**18, 10**18))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode, path.stat().st_ino) for path in root.rglob("*")}
    bytes_before = contents(root)
    copied(root, tmp_path)
    assert contents(root) == bytes_before
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode, path.stat().st_ino) for path in before} == before


def test_a_copy_can_be_changed_without_changing_the_source(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    copied(root, tmp_path)
    copy = tmp_path / "work" / "raw" / "cat" / "000.png"
    assert not copy.is_symlink() and copy.stat().st_nlink == 1


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def test_links_out_of_the_folder_are_skipped_and_counted(tmp_path, caplog):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    draw_classes(tmp_path / "elsewhere", {"bird": 1})
    link(root / "bird", tmp_path / "elsewhere" / "bird")
    link(root / "cat" / "001.png", "../../elsewhere/bird/000.png")
    link(root / "cat" / "002.png", "nowhere.png")
    found = copied(root, tmp_path)
    assert set(found) == {"cat/000.png", "dog/000.png"}
    assert found.known["skipped_links"] == 3
    assert f"{root}: 3 links that lead outside, to nothing or in a circle are not followed" in caplog.text
    assert "the first is 'bird'" in caplog.text


def test_links_inside_the_folder_are_copied_as_the_files_that_they_mean(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    link(root / "dog" / "same.png", "000.png")
    link(root / "puppy", "dog")
    link(tmp_path / "by another name", root)
    found = copied(tmp_path / "by another name", tmp_path)
    assert set(found) == {"cat/000.png", "dog/000.png", "dog/same.png", "puppy/000.png", "puppy/same.png"}
    assert found.known["skipped_links"] == 0
    assert not any(path.is_symlink() for path in (tmp_path / "work").rglob("*"))


def test_links_in_a_circle_end(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    link(root / "cat" / "self", ".")
    link(root / "dog" / "up", "..")
    link(root / "dog" / "loop.png", "loop.png")
    found = copied(root, tmp_path)
    assert set(found) == {"cat/000.png", "dog/000.png"}
    assert found.known["skipped_links"] == 3


def test_a_class_with_one_image_and_unreadable_images_are_taken_as_they_are(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 2})
    (root / "dog" / "000.png").write_bytes(b"")
    (root / "dog" / "001.png").write_bytes(b"no image")
    assert copied(root, tmp_path) == contents(root)


def test_files_that_are_no_images_are_counted_by_their_ending(tmp_path, caplog):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    for name in ("cat/a.txt", "b.TXT", "dog/labels.csv", "LICENSE", "Thumbs.db", "desktop.ini", "cat/.hidden"):
        (root / name).write_text("1")
    with caplog.at_level("INFO", "vit"):
        found = copied(root, tmp_path)
    assert found.known["ignored"] == {".txt": 2, "no ending": 1, ".csv": 1}
    assert "ignored: 4 files that are not images: .txt (2), no ending (1), .csv (1)" in caplog.text


def test_a_split_folder_keeps_its_parts(tmp_path):
    root = tmp_path / "pets"
    draw_classes(root / "Training", {"cat": 2, "dog": 1})
    draw_classes(root / "valid", {"cat": 1})
    draw_classes(root / "TEST", {"dog": 1})
    assert set(copied(root, tmp_path)) == {
        "cat/train/000.png",
        "cat/train/001.png",
        "cat/val/000.png",
        "dog/test/000.png",
        "dog/train/000.png",
    }
    assert describe(tmp_path / "work" / "raw")["parts"] == {"test": 1, "train": 3, "val": 1}


@pytest.mark.parametrize("archived", [False, True])
def test_a_training_set_and_a_test_set_are_splits_of_the_classes_inside(tmp_path, archived):
    root = tmp_path / "D"
    draw_classes(root / "training_set", {"cats": 40, "dogs": 40})
    draw_classes(root / "test_set", {"cats": 12, "dogs": 12})
    source = shutil.make_archive(str(tmp_path / "D"), "zip", tmp_path, "D") if archived else root
    copied(Path(source), tmp_path)
    described = describe(tmp_path / "work" / "raw")
    assert described["classes"] == {"cats": 52, "dogs": 52}
    assert described["parts"] == {"train": 80, "test": 24}


@pytest.mark.parametrize("archived", [False, True])
def test_the_level_of_the_classes_decides_where_two_readings_make_sense(tmp_path, archived):
    draw_classes(tmp_path / "D" / "cats", {"indoor": 2, "outdoor": 1})
    draw_classes(tmp_path / "D" / "dogs", {"indoor": 1, "outdoor": 1})
    source = Path(shutil.make_archive(str(tmp_path / "D"), "zip", tmp_path / "D") if archived else tmp_path / "D")
    readings = "=1: 2 classes, 'cats' 3, 'dogs' 2; data.class_level=2: 2 classes, 'indoor' 3, 'outdoor' 2"
    with pytest.raises(UserError, match=readings):
        copied(source, tmp_path)
    shutil.rmtree(tmp_path / "work")
    assert "indoor/cats/000.png" in copied(source, tmp_path, class_level=2)


def test_tables_of_one_name_get_their_folders_into_their_names(tmp_path):
    draw_classes(tmp_path / "pets" / "train", {"cat": 1, "dog": 1})
    draw_classes(tmp_path / "pets" / "test", {"cat": 1, "dog": 1})
    for name in ("train/labels.csv", "test/Labels.CSV", "Videos.CSV", "train/cat/inside.csv"):
        (tmp_path / "pets" / name).write_text(name)
    found = copied(tmp_path / "pets", tmp_path)
    assert found.tables == {
        "test_Labels.csv": b"test/Labels.CSV",
        "train_labels.csv": b"train/labels.csv",
        "Videos.csv": b"Videos.CSV",
    }
    assert found.known["ignored"] == {".csv": 1}


# What is no data set


def nothing(root):
    root.mkdir()


def only_texts(root):
    (root / "cat").mkdir(parents=True)
    (root / "cat" / "notes.txt").write_text("meow")


def one_class(root):
    draw_classes(root, {"cat": 3})


def images_without_classes(root):
    draw(root / "1.png")
    draw(root / "2.png")


def one_image_alone(root):
    draw(root / "1.png")


def loose_image(root):
    draw_classes(root, {"cat": 1, "dog": 1})
    draw(root / "stray.png")


def split_without_test(root):
    draw_classes(root / "Train", {"cat": 1, "dog": 1})
    draw_classes(root / "val", {"cat": 1, "dog": 1})


def links_alone(root):
    link(root / "cat", draw_classes(root.parent / "elsewhere", {"cat": 1}))


def two_tables_of_one_name(root):
    draw_classes(root, {"cat": 1, "dog": 1})
    for name in ("a/b_c.csv", "a_b/c.csv", "c.csv", "b_c.csv"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")


def larger_than_the_disk(root):
    draw_classes(root, {"cat": 1, "dog": 1})
    os.truncate(root / "cat" / "000.png", 2**43)  # a hole, which takes no space before it is copied


def name_that_is_no_text(root):
    draw_classes(root, {"cat": 1, "dog": 1})
    (root / "cat" / os.fsdecode(b"\xff.png")).write_bytes(b"")


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (nothing, "no images found"),
        (only_texts, "one directory per class is expected; it holds .txt (1)"),
        (links_alone, "one directory per class is expected; 1 links out of it are not followed"),
        (two_tables_of_one_name, "2 tables would become 'a_b_c.csv'; rename all but one"),
        (larger_than_the_disk, "needs 8,796.1 GB, "),
        (name_that_is_no_text, r"the name b'cat/\xff.png' is not UTF-8; rename it"),
        (one_class, "one class only"),
        (images_without_classes, "'1.png' lies in no class; one directory per class is expected"),
        (one_image_alone, "'1.png' lies in no class"),
        (loose_image, "'stray.png' lies beside the class directories"),
        (split_without_test, "already split into 'Train', 'val', without test"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_folder_without_classes_is_refused_by_what_it_lacks(tmp_path, make, fragment):
    make(tmp_path / "pets")
    with pytest.raises(UserError) as caught:
        copied(tmp_path / "pets", tmp_path)
    assert str(tmp_path / "pets") in str(caught.value)
    assert fragment in str(caught.value)


def test_the_part_of_a_split_data_set_can_be_taken_alone(tmp_path):
    draw_classes(tmp_path / "pets" / "train", {"cat": 1, "dog": 1})
    assert set(copied(tmp_path / "pets", tmp_path)) == {"cat/000.png", "dog/000.png"}


def test_a_folder_that_holds_the_copies_is_refused(tmp_path):
    root = draw_classes(tmp_path, {"cat": 1, "dog": 1})
    with pytest.raises(UserError, match=f"{tmp_path}: holds {tmp_path / 'work'}, where the images are copied to"):
        copied(root, tmp_path)


def test_a_missing_path_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"data\.path .*absent: no such folder or archive"):
        copied(tmp_path / "absent", tmp_path)


def test_a_file_that_is_no_archive_is_refused_by_name(tmp_path):
    path = draw(tmp_path / "cat.png")
    with pytest.raises(UserError, match=r"cat\.png: neither a folder nor an archive \(\.zip"):
        copied(path, tmp_path)
