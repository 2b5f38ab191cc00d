"""The page Data, without a browser: sources, what the audit found, and decisions about labels."""

import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from stages import download, split
from studio.data.found import balance
from studio.text import literal
from tests.drawn import draw, draw_classes
from tests.presets import write_preset
from tests.studio.small_project import draw_data
from vit.config.params_file import load_params
from vit.data.corrections import Correction
from vit.data.feedback import decide, decided
from vit.files import read_json, read_table

pytestmark = pytest.mark.long

PAGE = str(Path(__file__).parents[2] / "studio/screens/data.py")
NASTY = ("<b>*x*", "$a$ & _b_")


def opened() -> AppTest:
    return checked(AppTest.from_file(PAGE, default_timeout=60).run())


def checked(page: AppTest) -> AppTest:
    assert not page.exception
    return page


def headings(page: AppTest) -> list[str]:
    return [one.value for one in page.header]


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_before_the_first_run_the_page_says_what_to_do(work):
    page = opened()
    assert any("params.yaml" in one.value and "preset digits" in one.value for one in page.error)
    write_preset(Path("params.yaml"), "digits")
    page = opened()
    assert headings(page) == ["Source"] and "dvc repro pack" in [code.value for code in page.code]
    assert any("No images have been fetched yet" in one.value for one in page.info)


def test_what_the_audit_found_is_shown_and_names_are_text(work):
    draw_classes(work / "images", {NASTY[0]: 30, NASTY[1]: 12})
    draw(work / "images" / NASTY[0] / "twice.png", 0)
    (work / "images" / NASTY[0] / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write_preset(Path("params.yaml"), "shapes", {"data.source": "folder", "split.max_broken_fraction": 0.5})
    download.main()
    split.main()
    page = opened()
    assert headings(page) == [
        *("Source", "Split", "Classes", "Sizes", "Samples", "Left out", "Near duplicates"),
        *("Suspected label errors", "Corrections"),
    ]
    said = "\n".join(one.value for one in page.markdown)
    assert f"The largest, {literal(NASTY[0])}, has 2.5 times the images" in said
    assert "Strategy **random**: leakage of a random split is" in said.replace("\\", "")
    assert [one.label for one in page.expander if "unreadable" in one.label or "copies" in one.label] == [
        "1 unreadable files",
        "1 copies and contradictions",
    ]
    assert page.selectbox(key="data class").options == sorted(NASTY)
    for chart in ("Images per class", "Leakage of this split and of a random one"):
        assert f"**{chart}**" in said and f"Data: {chart}" in [one.label for one in page.expander]


@pytest.mark.parametrize(
    ("totals", "sentence"),
    [
        ({"a": 30, "b": 30}, "Each class has 30."),
        ({"a": 1001, "b": 1000}, "The largest, a, has 1,001, the smallest, b, 1,000."),
        ({"a": 30, "b": 12}, "The largest, a, has 2.5 times the images of the smallest, b."),
    ],
)
def test_the_balance_of_classes_is_said_as_it_is(totals, sentence):
    assert balance(totals) == sentence


def test_a_split_that_is_not_autos_shows_what_auto_would_choose(work):
    from tests.data.findings import draw_video

    draw_video(work / "images", 20, ("cat", "dog"), seed=1)
    write_preset(Path("params.yaml"), "shapes", {"data.source": "folder", "split.strategy": "random"})
    download.main()
    split.main()
    audit = read_json(Path("data/audit/audit.json"))
    assert audit["auto"]["strategy"] == "blocks" and audit["random_leakage"] == 1.0
    page = opened()
    assert any(one.value.startswith("`auto` would choose **blocks**") for one in page.markdown)
    assert any("100.0% is above split.leakage_margin" in one.value for one in page.warning)


def test_a_source_is_chosen_by_showing_what_changes_and_only_that_changes(work):
    write_preset(Path("params.yaml"), "digits", {"train.epochs": 7})
    before = load_params()
    page = opened()
    page.segmented_control(key="data kind").set_value("Shapes").run()
    page.text_input(key="Shapes data.shapes_per_class 100").set_value("no number").run()
    page.text_input(key="Shapes data.shapes_noise 0.25").set_value("").run()
    wrong = sorted(one.value.replace("\\", "") for one in checked(page).error)
    assert len(wrong) == 2 and wrong[0].startswith("data.shapes_noise is null: input should be a valid number")
    assert wrong[1].startswith("data.shapes_per_class is 'no number': input should be a valid integer")
    page.text_input(key="Shapes data.shapes_noise 0.25").set_value("0.25").run()
    assert load_params() == before
    page.text_input(key="Shapes data.shapes_per_class 100").set_value("12").run()
    table = checked(page).table[0].value
    assert table.values.tolist() == [["data.source", "digits", "shapes"], ["data.shapes_per_class", "100", "12"]]
    assert load_params() == before
    page.button(key="data write").click().run()
    checked(page)
    after = load_params()
    assert (after.data.source, after.data.shapes_per_class, after.train.epochs) == ("shapes", 12, 7)
    assert after.model_copy(update={"data": before.data}) == before
    assert any("has this source" in one.value for one in page.success)


@pytest.mark.parametrize("path", ["/etc", "../elsewhere", "images/../..", "images/missing", ""])
def test_a_field_names_no_folder_outside_the_project(work, path):
    write_preset(Path("params.yaml"), "digits")
    (work / "images").mkdir()
    page = opened()
    page.segmented_control(key="data kind").set_value("Folder").run()
    page.text_input(key="Folder data.path images").set_value(path).run()
    assert len(checked(page).error) == 1 and "data write" not in [one.key for one in page.button]


def test_an_uploaded_archive_becomes_a_folder_of_images_and_the_source(work):
    write_preset(Path("params.yaml"), "digits")
    pets = draw_classes(work.parent / "pets", {"cat": 3, "dog": 3})
    files = {path.relative_to(pets.parent).as_posix(): path.read_bytes() for path in pets.rglob("*.png")}
    page = opened()
    page.segmented_control(key="data kind").set_value("Zip archive").run()
    page.file_uploader(key="data zip").set_value(("my pets!.zip", zipped(files), "application/zip")).run()
    assert checked(page).text_input[0].value == "my_pets"
    page.button(key="data unpack").click().run()
    checked(page)
    data = load_params().data
    assert (data.source, data.path) == ("folder", str(work / "images/my_pets"))
    assert len(list(Path("images/my_pets").rglob("*.png"))) == 6
    download.main()
    assert read_json(Path("data/raw.json"))["classes"] == {"cat": 3, "dog": 3}


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (zipped({"a/../../evil.png": b"x"}), "pets", "pets.zip: member 'a/../../evil.png' points out of the archive"),
        (zipped({"/etc/evil.png": b"x"}), "pets", "pets.zip: member '/etc/evil.png' points out of the archive"),
        (b"PK\x03\x04 no more", "pets", "pets.zip: broken archive (File is not a zip file); get it again"),
        (zipped({"a/b.png": b"x"}), "../pets", "'../pets' is not a name for a folder"),
        (zipped({"a/b.png": b"x"}), "there", "images/there exists already; choose another name"),
    ],
    ids=["traversal", "absolute", "broken", "name", "taken"],
)
def test_a_hostile_archive_leaves_nothing_and_changes_nothing(work, content, name, sentence):
    write_preset(Path("params.yaml"), "digits")
    Path("images/there").mkdir(parents=True)
    before = Path("params.yaml").read_text()
    page = opened()
    page.segmented_control(key="data kind").set_value("Zip archive").run()
    page.file_uploader(key="data zip").set_value(("pets.zip", content, "application/zip")).run()
    page.text_input[0].set_value(name).run()
    page.button(key="data unpack").click().run()
    assert sentence in checked(page).error[0].value.replace("\\", "")
    assert [path.name for path in work.glob("images/*")] == ["there"] and Path("params.yaml").read_text() == before
    assert not list(work.parent.glob("*evil*"))


def test_corrections_are_listed_taken_back_and_used_by_the_next_run(work):
    draw_data()
    rows = [Correction(f"{number}" * 64, f"a{number}.png", "circle", "keep", "me", "now") for number in (1, 2)]
    decide(rows)
    page = opened()
    assert any("The next run does not use them" in one.value for one in page.warning)
    page.multiselect(key="corrections back").set_value(["a1.png (keep circle)"]).run()
    page.button(key="corrections withdraw").click().run()
    assert list(decided()) == ["2" * 64]
    page.button(key="corrections use").click().run()
    assert checked(page) and load_params().data.corrections == "feedback/labels.csv"
    assert any("The next run uses these corrections" in one.value for one in page.success)
    Path("feedback/labels.csv").write_text("broken")
    assert any("column 'sha256' is missing" in one.value.replace("\\", "") for one in opened().error)
    Path("params.yaml").write_text("data: 1")
    assert len(opened().error) == 2


def test_a_decision_about_a_suspect_is_in_the_table_at_once_and_can_be_taken_back(work):
    draw_data()
    row = read_table(Path("data/audit/images.csv"))[0]
    suspect = {"path": row["path"], "label": row["label"], "suggested": "vertical_bars", "sha256": row["file_sha256"]}
    suspect |= {"p_label": 0.1, "p_suggested": 0.9}
    page = opened()
    page.session_state["suspects"] = {
        "suspected": 1, "images": 9, "total": 48, "runs": ["r"], "suspects": [suspect]
    }  # fmt: skip
    checked(page.run())
    key = f"suspect {row['file_sha256']} "
    page.segmented_control(key=f"{key} action").set_value("relabel").run()
    checked(page)
    (correction,) = decided().values()
    assert (correction.path, correction.label, correction.action) == (row["path"], "vertical_bars", "relabel")
    page.selectbox(key=f"{key}relabel label").set_value("checkerboard").run()
    assert [one.label for one in decided().values()] == ["checkerboard"]
    page.multiselect(key="corrections back").set_value([f"{row['path']} (relabel checkerboard)"]).run()
    page.button(key="corrections withdraw").click().run()
    assert checked(page) and decided() == {}
    assert checked(page.run()) and decided() == {}


@pytest.mark.slow
def test_suspects_that_nothing_is_known_about_say_what_to_run(work):
    draw_data()
    page = opened()
    page.button(key="suspects find").click().run()
    assert any(
        "no finished run matches params.yaml; run `dvc repro`" in one.value.replace("\\", "") for one in page.info
    )
