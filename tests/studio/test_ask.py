"""The page Ask, without a browser: the same answers and errors as `vit predict`, and corrections that are kept."""

import csv
from io import StringIO
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from stages import download, split
from studio.text import literal
from tests.presets import write_preset
from tests.serving import pictures
from tests.studio.small_project import SHAPES, draw_data, write_model
from vit.data.corrections import read_corrections
from vit.data.manifest import read_rows
from vit.files import read_json
from vit.inference.labelling import predictions

pytestmark = pytest.mark.long

PAGE = str(Path(__file__).parents[2] / "studio/screens/ask.py")


def opened() -> AppTest:
    page = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not page.exception
    return page


def asked(page: AppTest, files: dict[str, bytes]) -> AppTest:
    page.file_uploader(key="ask files").set_value([(name, content, "") for name, content in files.items()]).run()
    assert not page.exception
    return page


def table_of(page: AppTest) -> list[dict[str, str]]:
    """The table that the download button gives."""
    from studio.ask.answers import as_csv

    answers = list(page.session_state["ask answers"].values())
    return list(csv.DictReader(StringIO(as_csv(answers, 4, page.slider(key="ask threshold").value))))


def test_without_a_model_the_page_says_what_to_do(work):
    write_preset(Path("params.yaml"), "shapes")
    page = opened()
    assert [title.value for title in page.title] == ["Ask"]
    assert any("no trained model" in error.value.replace("\\", "") for error in page.error)
    assert "dvc repro" in [code.value for code in page.code]
    assert not page.file_uploader(key="ask files").value


@pytest.mark.parametrize(
    "changes",
    [{}, {"model.name": "cnn"}, pytest.param({"model.pool": "cls"}, marks=pytest.mark.slow)],
    ids=["avg", "cnn", "cls"],
)
def test_two_files_one_of_them_hostile_are_answered_as_by_predict(work, tmp_path, changes):
    draw_data()
    classifier = write_model(tmp_path, changes)
    files = {"<b>*x*</b> $a$.png": pictures.good(), "text.png": pictures.WORD}
    page = asked(opened(), files)
    assert [error.value for error in page.error] == [literal("text.png: not an image in a supported format")]
    (drop,) = [markdown.value for markdown in page.markdown if markdown.value.startswith("**")]
    assert drop.startswith(f"**{literal(classifier.classify([Path(saved(tmp_path, files))])[0]['label'])}**")
    rows = table_of(page)
    assert [row["image"] for row in rows] == ["<b>*x*</b> $a$.png"] * 4
    (expected,) = predictions(classifier, [Path(saved(tmp_path, files))], 4, pytest.fail)
    assert [float(row["probability"]) for row in rows] == expected.probabilities
    assert [row["label"] for row in rows] == expected.classes

    page.slider(key="ask threshold").set_value(1.0).run()
    assert not page.exception
    assert (table_of(page)[0]["label"], table_of(page)[0]["index"]) == ("unknown", "-1")
    assert any(markdown.value.startswith("**unknown**") for markdown in page.markdown)


def saved(folder: Path, files: dict[str, bytes]) -> str:
    path = folder / "good.png"
    path.write_bytes(next(iter(files.values())))
    return str(path)


def test_a_wrong_answer_is_kept_for_the_next_download_and_joins_train(work, tmp_path):
    draw_data()
    write_model(tmp_path)
    page = asked(opened(), {"new.png": pictures.good(5)})
    digest = page.session_state["ask answers"].popitem()[1].upload.digest
    page.text_input(key="by").set_value("Ada").run()
    page.selectbox(key=f"ask {digest} label").set_value("vertical_bars").run()
    page.button(key=f"ask {digest} keep").click().run()
    assert not page.exception
    assert any("corrected to vertical" in success.value for success in page.success)
    (row,) = read_corrections(Path("feedback/labels.csv"))
    assert (row.sha256, row.label, row.action, row.by) == (digest, "vertical_bars", "relabel", "Ada")
    assert Path(f"feedback/images/{digest}.png").read_bytes() == pictures.good(5)

    write_preset(Path("params.yaml"), "shapes", SHAPES | {"data.corrections": "feedback/labels.csv"})
    download.main()
    split.main()
    assert read_json(Path("data/raw.json"))["corrections"]["added"] == 1
    added = f"vertical_bars/train/feedback_{digest}.png"
    assert [part for part in ("train", "val", "test") if added in str(read_rows(Path(f"data/splits/{part}.csv")))] == [
        "train"
    ]


def test_a_sample_of_the_test_split_is_corrected_in_the_data_and_not_copied(work, tmp_path):
    draw_data()
    write_model(tmp_path)
    page = opened()
    page.segmented_control(key="ask images").set_value("Samples from the test split").run()
    page.number_input(key="ask count").set_value(2).run()
    assert not page.exception
    first, second = page.session_state["ask answers"].values()
    tested = {row.path: row.label for row in read_rows(Path("data/splits/test.csv"))}
    assert tested[first.upload.name] == first.upload.label and second.upload.name in tested
    other = next(label for label in set(tested.values()) if label != first.upload.label)
    page.selectbox(key=f"ask {first.upload.digest} label").set_value(other).run()
    page.button(key=f"ask {first.upload.digest} keep").click().run()
    assert not page.exception
    (row,) = read_corrections(Path("feedback/labels.csv"))
    assert (row.path, row.label, row.action) == (first.upload.name, other, "relabel")
    assert not Path("feedback/images").exists()


def hostile_files() -> dict[str, bytes]:
    """The images of the corpus of hostile requests, by a name each."""
    files = {f"none {name}.png": file for name, file in pictures.no_images().items()}
    files |= {f"cut {number}.jpg": file for number, file in enumerate(pictures.truncated())}
    files |= {f"damaged {number}.png": file for number, file in enumerate(pictures.damaged(60))}
    files |= {f"bomb {name}.png": file for name, file in pictures.bombs_by_pixels().items()}
    files |= {f"packed {name}.png": file for name, file in pictures.bombs_by_compression().items()}
    files |= {f"unusual {name}.png": file for name, file in pictures.unusual().items()}
    files |= {f"rotated {turn}.jpg": pictures.rotated(turn)[0] for turn in range(10)}
    files["float.tif"] = pictures.encoded(pictures.picture().convert("F"), "TIFF")
    return files


@pytest.mark.slow
def test_every_image_of_the_hostile_corpus_gets_the_sentence_or_the_answer_of_predict(work, tmp_path):
    draw_data()
    classifier = write_model(tmp_path)
    files = {name: file for name, file in hostile_files().items() if file}  # a browser sends no empty file
    files = dict({file: name for name, file in files.items()}.items())
    files = {name: file for file, name in files.items()}
    page = asked(opened(), files)
    failed: dict[str, str] = {}
    folder = tmp_path / "files"
    folder.mkdir()
    for name, file in files.items():
        (folder / name).write_bytes(file)
    paths = [folder / name for name in files]
    right = {
        one.path.name: one
        for one in predictions(classifier, paths, 4, lambda path, error: failed.update({path.name: str(error)}))
    }
    answers = {one.upload.name: one for one in page.session_state["ask answers"].values()}
    assert answers.keys() == files.keys() and len(failed) > 40 and len(right) > 40
    for name, one in answers.items():
        if name in failed:
            assert one.error == " ".join(failed[name].removeprefix(f"{folder}/").split())
            assert literal(one.error) in [error.value for error in page.error]
        else:
            assert one.prediction.classes == right[name].classes
            assert one.prediction.probabilities == pytest.approx(right[name].probabilities, abs=1e-6)
