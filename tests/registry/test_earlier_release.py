"""A model of release 0.4.0, kept as it was: it loads, predicts, is served and stands before the gate as it did then."""

import base64
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import REPO
from tests.contents import Publisher
from tests.registry.conftest import champion, numbers
from vit.config.params_file import checked, read_yaml
from vit.config.schema import DataParams, Params
from vit.data.sources.shapes import fetch_shapes
from vit.files import read_table, sha256_of
from vit.inference.classifier import Classifier
from vit.registry.publish import Content, publish
from vit.registry.served import save_served

pytestmark = pytest.mark.long

RELEASE = REPO / "tests" / "fixtures" / "release_0.4.0"
LIMITS = {
    "max_rows": 256,
    "max_bytes": 4_000_000,
    "max_pixels": 4_000_000,
    "batch_wait_ms": 5.0,
    "precision": "float32",
}
PREDICTIONS = read_table(RELEASE / "predictions.csv")
CLASSES = [column.removeprefix("p_") for column in PREDICTIONS[0] if column.startswith("p_")]
THEN = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in PREDICTIONS])


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """The images that it was trained and judged on."""
    folder = tmp_path_factory.mktemp("raw")
    fetch_shapes(DataParams(source="shapes"), folder, folder)
    return folder


def test_its_parameters_are_those_of_this_release_too():
    params = checked(Params, read_yaml(RELEASE / "params.yaml"), RELEASE / "params.yaml")
    assert (params.model.embed_dim, params.train.threads, params.data.source) == (16, 1, "shapes")


def test_it_predicts_what_it_predicted_then(raw):
    classifier = Classifier.load(RELEASE / "model")
    found = classifier.classify([raw / row["path"] for row in PREDICTIONS])
    assert classifier.classes == CLASSES
    assert [one["label"] for one in found] == [row["prediction"] for row in PREDICTIONS]
    now = np.array([[one["probabilities"][name] for name in CLASSES] for one in found])
    np.testing.assert_allclose(now, THEN, atol=1e-6)


def test_it_is_served_by_a_program_that_knows_nothing_of_the_repo(raw, tmp_path):
    save_served(tmp_path / "served", RELEASE / "model", LIMITS)
    rows = PREDICTIONS[:8]
    images = [base64.b64encode((raw / row["path"]).read_bytes()).decode() for row in rows]
    (tmp_path / "ask.py").write_text(
        "import json, mlflow, pandas, sys\n"
        "served = mlflow.pyfunc.load_model('served')\n"
        "found = served.predict(pandas.DataFrame({'image': json.load(sys.stdin)}))\n"
        "print(json.dumps([one['probabilities'] for one in found]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "ask.py"], cwd=tmp_path, input=pd.Series(images).to_json(orient="values"),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = pd.read_json(pd.io.common.StringIO(done.stdout.splitlines()[-1]), orient="records")
    np.testing.assert_allclose(found[CLASSES].to_numpy(), THEN[:8], atol=1e-6)


def content_of_then(publisher: Publisher, raw: Path) -> Content:
    """What 0.4.0 published, in the form of today."""
    content = publisher.content(1, right=1)
    tables = {"images": RELEASE / "images.csv", "predictions": RELEASE / "val_predictions.csv"}
    candidacy = replace(content.candidacy, model=RELEASE / "model", raw=raw, **tables)
    artifacts = {"audit": [tables["images"]], "evaluation": [tables["predictions"]]}
    files_key = sha256_of(*tables.values())
    return replace(
        content, model_folder=RELEASE / "model", candidacy=candidacy, artifacts=artifacts, files_key=files_key
    )


def test_it_stays_champion_against_a_worse_model_of_today_on_the_val_images_of_both(publisher, client, raw):
    publish(content_of_then(publisher, raw), "vit")
    assert champion(client) == "1"
    images = read_table(RELEASE / "images.csv")
    challenger = publisher.content(2, right=20, images=images, rules={"min_images": 30})
    published = publish(replace(challenger, candidacy=replace(challenger.candidacy, raw=raw)), "vit")
    assert published.verdict.startswith("does not replace champion 1: not shown to be better: 0.5000 against 0.9000")
    found = numbers(client, "2")
    assert found["images"] == 40 and found["champion_cost"]["parameters"] == 3748


def test_it_is_run_where_its_published_predictions_do_not_cover_the_images(publisher, client, raw):
    publish(content_of_then(publisher, raw), "vit")
    images = read_table(RELEASE / "images.csv")
    for row in images:  # test images of then are val images of today; both were unseen by either
        row["part"] = {"test": "val", "val": "test"}.get(row["part"], row["part"])
    challenger = publisher.content(2, right=80, images=images, rules={"min_images": 30})
    challenger = replace(challenger, candidacy=replace(challenger.candidacy, raw=raw))
    published = publish(challenger, "vit")
    # 71 of 80 were right then, by its own predictions for the test split.
    assert published.verdict.startswith("is now champion: better: 1.0000 against 0.8875 on 80 val images")
