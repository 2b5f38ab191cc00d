"""What counts as a change of the data, of each source."""

import os
from pathlib import Path

import pytest

from tests.drawn import draw, draw_classes
from tests.presets import preset
from vit.config.schema import Params
from vit.errors import UserError
from vit.files import write_text
from vit.monitoring.inputs import Inputs, KnownFiles, carry, current_inputs, read_folders


def look(root: Path, params: Params, tracked: object = None) -> Inputs:
    return current_inputs(params, root, tracked, "main", root / "files.json")


@pytest.fixture
def root(tmp_path) -> Path:
    draw_classes(tmp_path / "images", {"cat": 3, "dog": 3})
    return tmp_path


@pytest.fixture
def params(tmp_path) -> Params:
    return preset(tmp_path, "shapes", {"data.source": "folder"})


def added(root: Path) -> None:
    draw(root / "images/cat/new.png", seed=99)


def removed(root: Path) -> None:
    (root / "images/cat/000.png").unlink()


def moved(root: Path) -> None:
    (root / "images/cat/000.png").rename(root / "images/dog/003.png")


def changed_within_a_size_and_time(root: Path) -> None:
    file = root / "images/cat/000.png"
    stat, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def table_added(root: Path) -> None:
    write_text(root / "images/labels.csv", "file,label\n")


@pytest.mark.parametrize("change", [added, removed, moved, changed_within_a_size_and_time, table_added])
def test_a_folder_changes_with_any_image_or_table(root, params, change):
    before = look(root, params)
    assert before.pins == {"data.path": str(root / "images")} and before.said == "6 files in images"
    change(root)
    assert look(root, params).digest != before.digest


def touched(root: Path) -> None:
    for file in (root / "images").rglob("*.png"):
        os.utime(file, (0, 0))  # as by a clock that was set back


def junk_added(root: Path) -> None:
    (root / "images/cat/.DS_Store").write_bytes(b"x")
    (root / "images/cat/notes.txt").write_text("x")


def rewritten(root: Path) -> None:
    file = root / "images/cat/000.png"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)


@pytest.mark.parametrize("change", [touched, junk_added, rewritten])
def test_a_folder_stays_the_same_with_the_bytes_of_its_images(root, params, change):
    before = look(root, params)
    change(root)
    assert look(root, params).digest == before.digest


def test_only_new_and_changed_files_are_read_again_and_a_table_that_was_cut_off_does_no_harm(root, params, monkeypatch):
    before, read = look(root, params), []
    real = KnownFiles._of_file.__globals__["sha256_of"]
    monkeypatch.setitem(KnownFiles._of_file.__globals__, "sha256_of", lambda path: read.append(path.name) or real(path))
    assert look(root, params) == before and read == []
    added(root)
    look(root, params)
    assert read == ["new.png"]
    (root / "files.json").write_text('{"/images')
    assert look(root, params).digest != before.digest and len(read) == 8


def test_an_archive_changes_with_its_bytes_and_a_missing_folder_is_named(root, tmp_path):
    (root / "images.zip").write_bytes(b"one")
    params = preset(tmp_path, "shapes", {"data.source": "folder", "data.path": "images.zip"})
    before = look(root, params)
    (root / "images.zip").write_bytes(b"two")
    assert look(root, params).digest != before.digest
    gone = preset(tmp_path, "shapes", {"data.source": "folder", "data.path": "elsewhere"})
    with pytest.raises(
        UserError, match=r"elsewhere: no such folder or archive; if DVC tracks it, `dvc pull` brings it"
    ):
        look(root, gone)


def test_what_dvc_tracks_changes_with_what_dvc_says_of_it(root, params):
    one, other = (look(root, params, [{"md5": md5, "path": "images"}]) for md5 in ("1.dir", "2.dir"))
    assert one.digest != other.digest and one.pins == {} and one.said == "images, as DVC tracks it"


def test_corrections_unlabelled_images_and_weights_count_only_where_the_training_reads_them(root, tmp_path):
    plain = preset(tmp_path, "shapes")
    assert read_folders(plain) == []
    for folder in ("feedback", "unlabelled", "weights"):
        draw(root / folder / "x.png", seed=1)
    before = look(root, plain)
    reading = preset(
        tmp_path,
        "shapes",
        {
            "data.corrections": "feedback/labels.csv",
            "pretrain.epochs": 1,
            "model.stem": "patch",
            "train.init_from": "weights/x.safetensors",
        },
    )
    with_all = look(root, reading)
    assert with_all.said == "source shapes, 1 in feedback, 1 in unlabelled, 1 in weights"
    write_text(root / "feedback/labels.csv", "sha256,path,label,action,by,at\n")
    assert look(root, plain).digest == before.digest and look(root, reading).digest != with_all.digest


def test_a_worktree_gets_the_files_of_these_folders_and_losing_it_loses_none(root, tmp_path):
    draw(root / "feedback/images/a.png", seed=1)
    tree = tmp_path / "tree"
    write_text(tree / "feedback/labels.csv", "the committed one")
    write_text(root / "feedback/labels.csv", "the present one")
    carry([Path("feedback")], root, tree)
    assert (tree / "feedback/labels.csv").read_text() == "the present one"
    assert (tree / "feedback/images/a.png").read_bytes() == (root / "feedback/images/a.png").read_bytes()
    (tree / "feedback/images/a.png").unlink()
    assert (root / "feedback/images/a.png").is_file()
