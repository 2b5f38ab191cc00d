import csv
import json

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from tests.presets import preset
from vit.config.params_file import flatten
from vit.files import write_table

pytestmark = pytest.mark.long

IMAGES = 60


def add_run(client: MlflowClient, folder, right: int, tested: str = "a", **changes) -> None:
    """A finished run that was right on the first `right` of its test images; `split__seed` is split.seed."""
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    (folder / "other").mkdir(exist_ok=True)
    params = flatten(preset(folder / "other", "shapes", changes).model_dump(by_alias=True))
    size = changes["split.subset_per_class"]
    name = f"{params['model.name']} {size}"
    run_id = client.create_run(client.get_experiment_by_name("vit").experiment_id, run_name=name).info.run_id
    client.log_batch(
        run_id,
        [Metric("train_images", 4 * (size or 200), 0, 0), Metric("nearest_neighbour_accuracy", 0.3, 0, 0)],
        [Param(key, str(value)) for key, value in params.items()],
        [RunTag("train_sha256", str(size)), RunTag("test_sha256", tested)],
    )
    rows = [
        {"path": f"{tested}/{index:02d}.png", "label": "x", "group": f"{tested}{index}"}
        | {"prediction": "x" if index < right else "y"}
        | {f"p_{letter}": 0.25 for letter in "wxyz"}
        for index in range(IMAGES)
    ]
    write_table(folder / "predictions.csv", rows)
    client.log_artifact(run_id, str(folder / "predictions.csv"), "evaluation")
    client.set_terminated(run_id)


def test_the_runs_that_fit_params_yaml_are_drawn_and_the_crossing_is_told(client, tmp_path, printed, refused):
    for size, vit, cnn in ((25, 18, 30), (None, 54, 45)):
        add_run(client, tmp_path, 0, model__name="vit", split__subset_per_class=size)  # the newer one counts
        add_run(client, tmp_path, vit, model__name="vit", split__subset_per_class=size)
        add_run(client, tmp_path, cnn, model__name="cnn", split__subset_per_class=size, train__threads=1)
    add_run(client, tmp_path, 60, model__name="vit", split__subset_per_class=50, train__lr=0.5)  # another experiment
    lines = printed("data-hunger", "--out", "curve.png", "--csv", "curve.csv").splitlines()
    assert lines[-1] == "vit overtakes cnn between 25 and 200 train images per class"
    assert "vit minus cnn at 25: -0.2000" in "\n".join(lines)
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["per_class"], float(row["accuracy"])) for row in rows] == [
        ("vit", "25.0", 0.3), ("vit", "200.0", 0.9), ("cnn", "25.0", 0.5), ("cnn", "200.0", 0.75),
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[:5]] == ["model", "vit", "vit", "cnn", "cnn"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")

    add_run(client, tmp_path, 30, model__name="cnn", split__subset_per_class=50, tested="b")
    said = refused("data-hunger")
    assert "'cnn 50'" in said and "were evaluated on different test images" in said


def test_json_has_the_curve_the_differences_and_what_the_lines_say(client, tmp_path, printed):
    for size, vit, cnn in ((25, 18, 30), (None, 54, 45)):
        add_run(client, tmp_path, vit, model__name="vit", split__subset_per_class=size)
        add_run(client, tmp_path, cnn, model__name="cnn", split__subset_per_class=size)
    found = json.loads(printed("data-hunger", "--json", "--csv", "curve.csv"))
    assert list(found) == ["curve", "differences", "crossings", "notes"]
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in found["curve"]] == rows
    first, last = found["differences"]
    assert (first["first"], first["second"], first["per_class"]) == ("vit", "cnn", 25.0)
    assert (first["difference"], last["difference"]) == (pytest.approx(-0.2), pytest.approx(0.15))
    assert first["low"] < first["difference"] < first["high"] and first["verdict"] == "worse"
    assert found["crossings"] == ["vit overtakes cnn between 25 and 200 train images per class"]
    assert found["notes"] == []


def test_what_each_model_has_its_own_of_must_be_named_and_be_one(client, tmp_path, printed, refused):
    said = refused("data-hunger")
    assert "0 finished run(s) match" in said and "dvc exp run --queue -S split.subset_per_class=" in said
    for size in (25, 50):
        add_run(client, tmp_path, 30, model__name="vit", split__subset_per_class=size)
        add_run(client, tmp_path, 40, model__name="cnn", split__subset_per_class=size, train__epochs=5)
    assert "cnn" not in printed("data-hunger")
    differing = ("data-hunger", "--may-differ", "train.epochs")
    assert "cnn is ahead of vit at every size" in printed(*differing).splitlines()
    assert "--may-differ epochs: not a training parameter" in refused("data-hunger", "--may-differ", "epochs")
    add_run(client, tmp_path, 50, model__name="cnn", split__subset_per_class=50, train__epochs=6)
    said = "differ only in train.epochs (6 and 5); delete one"
    assert said in refused(*differing)
