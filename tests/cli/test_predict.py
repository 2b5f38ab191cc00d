"""`vit predict` on a small untrained model in a folder."""

import csv
import json
import os
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from PIL import Image

from tests.drawn import draw
from tests.presets import preset, write_preset
from tests.shapes import CLASSES, shapes, untrained
from vit.cli.main import main
from vit.evaluation.explain import SHEET_IMAGES
from vit.inference.classifier import Classifier
from vit.inference.labelling import BATCH_SIZE

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Classifier:
    folder = tmp_path_factory.mktemp("model")
    return untrained(preset(folder, "shapes", {"train.device": "cpu"}), shapes(folder, 2))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """An empty MLflow store, made once, as that takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture
def predict(tmp_path, monkeypatch, vit, classifier, store):
    """Run the command in a folder of its own; its status and what it printed to stdout and stderr."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def run(*arguments: str, model: str | None = "model") -> tuple[int, str, str]:
        chosen = [] if model is None else ["--model", model]
        return vit("predict", *chosen, *arguments)

    return run


def test_files_folders_and_globs_are_labelled_in_order_and_once_each(predict, tmp_path, classifier):
    names = ["b/2.png", "b/deep/1.JPG", "a/3.gif", "a/4.png", "z.png"]
    for seed, name in enumerate(names):
        draw(tmp_path / name, seed)
    draw(tmp_path / "b/._2.png")  # what macOS leaves beside files
    (tmp_path / "b/notes.txt").write_text("no image")
    status, out, err = predict("z.png", "b", "a/*.png", "?/[0-9].gif", "z.png")
    assert (status, err) == (0, "")
    expected = ["z.png", "b/2.png", "b/deep/1.JPG", "a/4.png", "a/3.gif"]
    answers = classifier.classify([tmp_path / name for name in expected])
    assert out.splitlines() == [
        f"{name}: {answer['label']} ({answer['confidence']:.1%})"
        for name, answer in zip(expected, answers, strict=True)
    ]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(predict, tmp_path):
    draw(tmp_path / "[1].png")
    assert predict("[1].png")[1].startswith("[1].png: ")


def test_more_images_than_a_batch_are_all_answered_as_if_alone(predict, tmp_path, classifier):
    names = [draw(tmp_path / f"many/{seed:03d}.png", seed).name for seed in range(BATCH_SIZE + 3)]
    rows = list(csv.DictReader(StringIO(predict("many", "--csv")[1])))
    assert [row["image"] for row in rows] == [f"many/{name}" for name in names]
    for row in rows[:: BATCH_SIZE + 2]:
        (alone,) = classifier.classify([tmp_path / row["image"]])
        assert row["label"] == alone["label"] and float(row["probability"]) == pytest.approx(alone["confidence"])


@pytest.mark.parametrize("top_k", [1, 2, 100])
def test_json_csv_and_text_give_the_same_likeliest_classes_the_first_first(predict, tmp_path, classifier, top_k):
    draw(tmp_path / "a.png")
    (expected,) = classifier.classify([tmp_path / "a.png"])
    likeliest = sorted(expected["probabilities"].items(), key=lambda item: -item[1])[:top_k]
    (entry,) = json.loads(predict("a.png", "--json", "--top-k", str(top_k))[1])
    index = classifier.classes.index(expected["label"])
    assert entry == expected | {"image": "a.png", "index": index, "probabilities": dict(likeliest)}
    assert list(entry["probabilities"]) == [name for name, _ in likeliest]
    rows = list(csv.DictReader(StringIO(predict("a.png", "--csv", "--top-k", str(top_k))[1])))
    assert [(row["label"], float(row["probability"])) for row in rows] == likeliest
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, len(likeliest) + 1)]
    assert [classifier.classes[int(row["index"])] for row in rows] == [row["label"] for row in rows]
    text = ", ".join(f"{name} ({share:.1%})" for name, share in likeliest)
    assert predict("a.png", "--top-k", str(top_k))[1] == f"a.png: {text}\n"


def test_each_unreadable_image_is_reported_with_its_reason_while_the_others_are_answered(predict, tmp_path):
    draw(tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    (tmp_path / "notes.png").write_text("meow")
    status, out, err = predict("torn.png", "good.png", "notes.png", "absent.png")
    assert status == 1
    assert out.startswith("good.png: ") and out.count("\n") == 1
    lines = err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["error", "torn.png"],
        ["error", "notes.png"],
        ["error", "absent.png"],
    ]
    assert "broken image" in lines[0] and "not an image" in lines[1] and "no such file" in lines[2]
    entries = json.loads(predict("torn.png", "good.png", "absent.png", "--json")[1])
    assert [entry["image"] for entry in entries] == ["good.png", "torn.png", "absent.png"]
    assert "label" in entries[0] and "broken image" in entries[1]["error"] and "label" not in entries[2]
    assert predict("absent.png", "--csv")[:2] == (1, "image,rank,label,index,probability\n")


def test_the_explanation_of_one_image_is_its_map_and_of_several_a_sheet(predict, tmp_path):
    for seed in range(7):
        draw(tmp_path / f"folder/{seed}.png", seed)
    assert predict("folder/0.png", "--explain", "one.png")[0] == 0
    assert Image.open(tmp_path / "one.png").size == (224, 224)
    status, out, _ = predict("folder", "absent.png", "--explain", "new/all.PNG")
    assert status == 1 and out.count("\n") == 7
    sheet = Image.open(BytesIO((tmp_path / "new/all.PNG").read_bytes()))
    assert sheet.size == (5 * 232, 2 * 248)  # two rows, of five and of two
    one = Image.open(tmp_path / "one.png")
    assert sheet.crop((0, 0, 224, 224)).tobytes() == one.tobytes()
    status, _, _ = predict("absent.png", "--explain", "none.png")
    assert status == 1 and not (tmp_path / "none.png").exists()


def test_a_file_name_that_is_no_utf_8_is_printed_byte_for_byte(predict, tmp_path, monkeypatch):
    name = os.fsdecode(b"caf\xe9.png")
    draw(tmp_path / name)
    (entry,) = json.loads(predict(name, "--json")[1])
    assert entry["image"] == name
    printed = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(printed, encoding="utf-8", write_through=True))
    assert predict(name)[0] == 0
    assert printed.getvalue().startswith(b"caf\xe9.png: ")


def test_a_reader_that_has_enough_ends_it_without_a_trace(predict, tmp_path, monkeypatch):
    draw(tmp_path / "a.png")
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", stdout)
        status, _, err = predict("a.png")
        print("more", file=stdout, flush=True)  # as Python, at its end, flushes what is left
    assert (status, err) == (141, "")


def test_a_fault_that_no_person_caused_keeps_its_trace_and_is_in_the_log(predict, tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/model.safetensors").touch()
    (tmp_path / "odd/config.json").write_text("{ no JSON")
    draw(tmp_path / "a.png")
    with pytest.raises(json.JSONDecodeError):
        main(["predict", "a.png", "--model", "odd"])
    assert "stopped by an unexpected error\nTraceback" in (tmp_path / "logs/vit.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "an empty argument is not a file name"),
        (["empty"], "empty: no images in this folder (JPEG, PNG, "),
        (["nothing/*.png"], "nothing/*.png: no file matches"),
        (["a.png", "--explain", "out.jpg"], "--explain out.jpg: the file must end in .png; for example out.png"),
        (["a.png", "--explain", "a.png"], "--explain a.png: is one of the images and would be overwritten"),
        (["many", "--explain", "out.png"], f"--explain draws at most {SHEET_IMAGES} images, not {SHEET_IMAGES + 1}"),
        (["a.png", "--model", "nowhere"], "no trained model in nowhere (config.json is missing)"),
    ],
)
def test_a_mistake_ends_in_one_sentence_before_anything_is_answered(predict, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    draw(tmp_path / "a.png")
    if "many" in arguments:
        for index in range(SHEET_IMAGES + 1):
            (tmp_path / "many").mkdir(exist_ok=True)
            (tmp_path / f"many/{index}.png").write_bytes((tmp_path / "a.png").read_bytes())
    status, out, err = predict(*arguments, model=None if "--model" in arguments else "model")
    assert (status, out) == (1, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_a_model_without_attention_answers_but_explains_nothing(predict, tmp_path):
    cnn = untrained(preset(tmp_path, "shapes", {"train.device": "cpu", "model.name": "cnn"}), shapes(tmp_path, 2))
    cnn.save(tmp_path / "cnn", cnn.model.state_dict())
    draw(tmp_path / "a.png")
    status, out, err = predict("a.png", "--explain", "out.png", "--model", "cnn", model=None)
    assert (status, out) == (1, "") and "model.name is cnn, which has no attention" in err
    assert predict("a.png", "--model", "cnn", model=None)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'IMAGE...'."),
        (["a.png", "--top-k", "0"], "Invalid value for '--top-k': 0 is not in the range x>=1."),
        (["a.png", "--top-k", "x"], "Invalid value for '--top-k': 'x' is not a valid integer range."),
        (["--csv", "a.png", "--json"], "--json and --csv cannot be combined; give one of them"),
        (["a.png", "--explain"], "Option '--explain' requires an argument."),
    ],
)
def test_what_no_command_line_allows_is_wrong_usage(predict, arguments, message):
    status, out, err = predict(*arguments)
    assert (status, out) == (2, "") and err.endswith(f"Error: {message}\n")


def test_a_folder_of_an_mlflow_model_is_a_model_too(predict, tmp_path):
    draw(tmp_path / "a.png")
    expected = predict("a.png")
    (tmp_path / "saved/artifacts").mkdir(parents=True)
    (tmp_path / "model").rename(tmp_path / "saved/artifacts/model")
    (tmp_path / "saved/MLmodel").touch()
    assert predict("a.png", model="saved") == expected
    assert predict("a.png", model=(tmp_path / "saved").as_uri()) == expected
    assert expected[1].split()[1] in CLASSES


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("models:/vit@nobody", "no model 'models:/vit@nobody' in the registry"),
        ("runs:/0123/model", "no model 'runs:/0123/model' ("),
        ("gopher://there/model", "no model 'gopher://there/model' ("),
        (None, "no model 'models:/vit@champion' in the registry"),
    ],
)
def test_a_model_that_is_not_there_is_named(predict, tmp_path, uri, message):
    write_preset(tmp_path / "params.yaml", "shapes")
    draw(tmp_path / "a.png")
    status, out, err = predict("a.png", model=uri)
    assert (status, out) == (1, "") and message in err and err.count("\n") == 1
