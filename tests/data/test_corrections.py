"""Corrections by people: the table, what download makes of it, and that val and test never gain an image from it."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from stages import download, split
from tests.drawn import draw, draw_classes
from tests.presets import preset, write_preset
from vit.data.corrections import Correction, read_corrections, write_corrections
from vit.data.feedback import decide, decided, keep_image, withdraw
from vit.errors import UserError
from vit.files import read_json, read_table

TABLE = Path("feedback/labels.csv")
HEADER = "sha256,path,label,action,by,at\n"


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A folder of 20 cats and 20 dogs, in which the stages run; it is the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    draw_classes(tmp_path / "images", {"cat": 20, "dog": 20})
    return tmp_path


def sha256(path: Path | str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def row(path: Path | str, label: str, action: str) -> Correction:
    return Correction(sha256(path), str(path), label, action, "me", "2026-01-01T00:00:00+00:00")


def run(**changes) -> dict:
    """Download and split; returns data/raw.json."""
    keys = {"data.source": "folder", "data.corrections": str(TABLE), "split.strategy": "random"}
    write_preset(
        Path("params.yaml"), "shapes", keys | {key.replace("__", "."): value for key, value in changes.items()}
    )
    download.main()
    split.main()
    return read_json(Path("data/raw.json"))


def split_of() -> dict[str, str]:
    """The split of each image."""
    return {
        one["path"]: part for part in ("train", "val", "test") for one in read_table(Path(f"data/splits/{part}.csv"))
    }


def test_labels_change_in_every_split_images_go_and_corrected_ones_join_train(work, capsys):
    run(data__corrections=None)
    before = split_of()
    for part in ("train", "val", "test"):
        one = next(path for path in before if before[path] == part and path.startswith("cat/"))
        decide([row(f"images/{one}", "dog", "relabel")])
        before[f"relabelled in {part}"] = one
    gone = next(path for path in before if before[path] == "train" and path.startswith("dog/"))
    decide([row(f"images/{gone}", "", "remove"), row("images/dog/001.png", "dog", "keep")])
    new = draw(work / "new.JPG", seed=1000)
    kept = keep_image(new.read_bytes(), new.name, "cat", "me")

    record = run()
    assert record["corrections"] == {"kept": 1, "relabelled": 3, "removed": 1, "added": 1}
    assert record["classes"] == {"cat": 20 - 3 + 1, "dog": 20 + 3 - 1} and "parts" not in record
    assert "corrections: 1 kept, 3 relabelled, 1 removed, 1 added" in capsys.readouterr().out
    after = split_of()
    assert kept == f"feedback/images/{sha256(new)}.jpg"
    assert after[f"cat/train/feedback_{sha256(new)}.jpg"] == "train"
    digests = {one["file_sha256"]: one for one in read_table(Path("data/audit/images.csv"))}
    assert sha256(f"images/{gone}") not in digests
    for part in ("train", "val", "test"):
        assert digests[sha256(f"images/{before[f'relabelled in {part}']}")]["label"] == "dog"
    assert len(after) == 40


def test_the_same_corrections_give_the_same_bytes_and_none_those_of_before(work):
    run(data__corrections=None)
    without = sha256("data/splits/train.csv")
    assert not Path("data/tables/corrections.json").exists()
    keep_image(draw(work / "new.png", seed=1000).read_bytes(), "new.png", "cat", "me")
    decide([row("images/cat/000.png", "dog", "relabel")])
    records = [run() for _ in range(2)]
    assert records[0] == records[1]
    run(data__corrections=None)
    assert sha256("data/splits/train.csv") == without


def test_what_is_added_does_not_move_a_val_or_test_image(work):
    before = run(data__corrections=None) and split_of()
    for seed in range(1000, 1010):
        keep_image(draw(work / "new.png", seed).read_bytes(), "new.png", "cat", "me")
    run()
    after = split_of()
    assert {path: part for path, part in after.items() if "feedback_" not in path} == before
    assert sum("feedback_" in path for path in after) == 10
    run(split__subset_per_class=3)
    assert sum(part == "train" and path.startswith("cat/") for path, part in split_of().items()) == 3


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("brighter", [0, 1])
def test_a_corrected_copy_or_near_duplicate_of_a_held_out_image_is_not_trained_on(work, capfd, part, brighter):
    run(data__corrections=None)
    path = next(path for path, where in split_of().items() if where == part)
    nearly = Image.open(Path("images") / path).point(lambda value: min(value + brighter, 255))
    nearly.save(work / "other.bmp")  # other bytes, nearly or exactly the same pixels
    keep_image((work / "other.bmp").read_bytes(), "other.bmp", "cat", "me")
    assert run()["corrections"]["added"] == 1
    after = split_of()
    assert after[path] == part and len(after) == 40
    (warning,) = [one for one in read_json(Path("data/audit/audit.json"))["warnings"] if "corrected" in one]
    assert "1 corrected images are not added to train" in warning and path in warning


def test_an_image_of_the_data_is_relabelled_where_it_is_and_not_copied(work):
    run(data__corrections=None)
    content = Path("images/cat/000.png").read_bytes()
    assert keep_image(content, "upload.png", "dog", "me") == "cat/000.png"
    assert keep_image(Path("images/cat/001.png").read_bytes(), "upload.png", "cat", "me") == "cat/001.png"
    assert not Path("feedback/images").exists()
    assert [one.action for one in decided().values()] == ["relabel", "keep"]
    assert run()["corrections"] == {"kept": 1, "relabelled": 1, "removed": 0, "added": 0}


def test_tables_still_find_a_relabelled_image_by_its_path_at_the_source(work):
    rows = "".join(f"cat/{n:03d}.png,{n // 2}\ndog/{n:03d}.png,{n // 2}\n" for n in range(20))
    Path("images/videos.csv").write_text(f"file,video\n{rows}")
    decide([row("images/cat/004.png", "dog", "relabel")])
    run(split__strategy="groups", split__group_column="video")
    groups = {
        one["path"]: one["group"]
        for part in ("train", "val", "test")
        for one in read_table(Path(f"data/splits/{part}.csv"))
    }
    moved = f"dog/{sha256('images/cat/004.png')[:12]}_004.png"  # dog/004.png is another image
    assert groups[moved] == groups["dog/004.png"] == "2"


def test_a_source_that_is_split_keeps_its_splits(work):
    for label in ("cat", "dog"):
        for number, path in enumerate(sorted(Path("images", label).iterdir())):
            path.rename(
                path.parent / "test" / path.name
                if number < 5 and (path.parent / "test").mkdir(exist_ok=True) is None
                else path
            )
        (Path("images", label) / "train").mkdir()
        for path in Path("images", label).glob("*.png"):
            path.rename(path.parent / "train" / path.name)
    keep_image(draw(work / "new.png", seed=1000).read_bytes(), "new.png", "cat", "me")
    decide([row("images/cat/test/000.png", "dog", "relabel")])
    assert run(split__strategy="auto")["parts"] == {"train": 31, "test": 10}
    after = split_of()
    assert sum(part == "test" for part in after.values()) == 10
    assert after[f"dog/test/{sha256('images/cat/test/000.png')[:12]}_000.png"] == "test"


def test_two_equal_copies_under_two_labels_are_corrected_together(work):
    Path("images/dog/copy.png").write_bytes(Path("images/cat/000.png").read_bytes())
    decide([row("images/cat/000.png", "cat", "relabel")])
    run()
    assert "cat/000.png" in split_of()


BAD = {
    "": "column 'sha256' is missing",
    "sha256,label\n": "column 'path' is missing",
    f"{HEADER}abc,a,cat,keep,me,now\n": "line 2: sha256 'abc' is not a SHA-256",
    f"{HEADER}{'0' * 64},a,cat,maybe,me,now\n": "line 2: action 'maybe' must be keep, relabel or remove",
    f"{HEADER}{'0' * 64},a,,relabel,me,now\n": "line 2: action relabel needs a label",
    f"{HEADER}{'0' * 64},a,cat\n": "line 2: it does not have 6 values",
    f"{HEADER}{'0' * 64},a,cat,keep,me,now,more\n": "line 2: it does not have 6 values",
    f'{HEADER}{"0" * 64},"a,cat,keep,me,now\n': "not a CSV file in UTF-8",
    f"{HEADER}{'0' * 64},a,\udcff,keep,me,now\n": "not a CSV file in UTF-8",
    f"{HEADER}{'0' * 64},a,cat,keep,me,now\n{'0' * 64},a,dog,relabel,me,now\n": (
        "lines 2 and 3 contradict each other about 000000000000: keep and relabel 'dog'"
    ),
    f"{HEADER}{'0' * 64},a,cat,keep,me,now\n": "000000000000 ('a') matches no image of the source and none in feedback",
}


@pytest.mark.parametrize("text", BAD)
def test_a_broken_table_is_refused_in_one_line(work, text):
    TABLE.parent.mkdir()
    TABLE.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as error:
        run()
    assert BAD[text] in str(error.value) and "\n" not in str(error.value) and str(TABLE) in str(error.value)


def test_a_label_that_is_no_class_a_missing_table_and_an_emptied_class_are_refused(work):
    with pytest.raises(UserError, match="no such file; create it"):
        run()
    decide([row("images/cat/000.png", "bird", "relabel")])
    with pytest.raises(UserError, match=r"'bird', the label of .*, is not a class here; classes are cat, dog"):
        run()
    decide([row(path, "", "remove") for path in Path("images/cat").iterdir()])
    with pytest.raises(UserError, match="class 'cat' would have no image left"):
        run()


def test_a_corrected_image_must_be_readable_named_by_its_digest_and_have_one_label(work):
    broken = keep_image(b"\x89PNG\r\n\x1a\n no more", "a.png", "cat", "me")
    with pytest.raises(UserError, match=r"corrected image cat/train/feedback_.*: .*delete its row"):
        run()
    withdraw([Path(broken).stem])
    assert decided() == {} and not Path(broken).exists()
    for ending, label in ((".png", "cat"), (".bmp", "dog")):
        keep_image(draw(work / f"a{ending}", seed=1000).read_bytes(), f"a{ending}", label, "me")
    with pytest.raises(UserError, match="have equal pixels and two labels"):
        run()
    Path("feedback/images/other.png").write_bytes((work / "a.png").read_bytes())
    with pytest.raises(UserError, match=r"other\.png: its SHA-256 is .*; rename it"):
        run()


def test_a_table_outside_the_watched_folder_is_refused(tmp_path):
    for path in ("labels.csv", "feedback/../labels.csv", "/tmp/labels.csv", "feedback/labels.txt"):
        with pytest.raises(UserError, match=r"must be a \.csv in feedback/"):
            preset(tmp_path, "shapes", {"data.corrections": path})


def test_a_later_decision_replaces_the_earlier_one_and_names_survive(work):
    nasty = Correction("0" * 64, 'a,"b"\n.png', "<b>*x*</b>, $a$", "relabel", "=cmd()", "now")
    decide([nasty])
    decide([nasty._replace(label="dog"), nasty._replace(sha256="1" * 64)])
    assert [one.label for one in read_corrections(TABLE)] == ["dog", "<b>*x*</b>, $a$"]
    write_corrections(TABLE, [nasty])
    assert read_corrections(TABLE) == [nasty]
