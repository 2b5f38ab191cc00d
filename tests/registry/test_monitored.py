"""`vit monitor` over the log of a version from a real registry."""

import base64
import json
import time
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from mlflow import MlflowClient

from tests.cli.conftest import vit  # noqa: F401
from tests.conftest import Project, documented, free_port
from tests.monitoring.made import START, log
from tests.serving.conftest import clean_environment
from vit.config.files import VAL_SAMPLE
from vit.files import read_table
from vit.monitoring.logged import read_log
from vit.serving.cores import Cores
from vit.serving.prediction_log import PredictionLog
from vit.serving.settings import Logging
from vit.serving.version import ServedVersion

SETTINGS = {"max_rows": 256, "max_bytes": 2**25, "max_pixels": 10**8, "batch_wait_ms": 0, "precision": "float32"}
WINDOW = ("--window", "40", "--block", "1", "--false-alarms", "0.05")
pytestmark = pytest.mark.long


def serve(registry, folder: Path, files: list[Path]) -> None:
    """Answer image files one by one, with a log in `folder`."""
    version = ServedVersion.load(registry.files("1") / "artifacts/model", SETTINGS, Cores(), "1", with_features=True)
    predictions = PredictionLog(Logging(folder, seconds=60, days=30, image_days=0))
    for file in files:
        predictions.add(version.answer([base64.b64encode(file.read_bytes()).decode()], {}), version, 0.002)
    predictions.close()


def metrics(registry) -> dict[str, list]:
    client: MlflowClient = registry.client
    (experiment,) = client.search_experiments(filter_string="name = 'vit-monitoring'")
    (run,) = client.search_runs([experiment.experiment_id])
    return {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}


def test_a_window_of_val_itself_is_quiet_and_one_of_a_single_class_alarms_with_status_3(registry, vit, tmp_path):  # noqa: F811
    assert (registry.files("1") / VAL_SAMPLE).is_file()
    raw = registry.folder / "raw0"
    val = [raw / row["path"] for row in read_table(registry.folder / "content1/val_predictions.csv")]
    one_class = [file for file in val if file.parent.name == val[0].parent.name]
    folder = tmp_path / "log"
    status, _, err = vit("monitor", "--log", str(folder))
    assert status == 1 and f"no predictions are logged in {folder}; start the server with" in err

    serve(registry, folder, val[:40])
    shift_back(folder)
    status, out, _ = vit("monitor", "--log", str(folder), *WINDOW)
    assert (status, "ALARM" in out) == (0, False)
    assert "window 0: 40 predictions in 40 blocks; val: 100 images in 100" in out

    serve(registry, folder, (one_class * 3)[:45])
    shift_back(folder)
    status, out, _ = vit("monitor", "--log", str(folder), *WINDOW, "--json")
    found = json.loads(out)
    assert status == 3 and found["windows"][0]["alarms"] == [] and "embedding" in found["windows"][1]["alarms"]
    assert (found["since"], found["dropped"], found["accuracy"]) == (5, 0, None)

    labels = tmp_path / "labels.csv"
    ids = read_log(folder)["request_id"].to_pylist()[:40]
    labels.write_text("request_id,label\n" + "".join(f"{one},no such class\n" for one in ids))
    status, out, _ = vit("monitor", "--log", str(folder), *WINDOW, "--labels", str(labels))
    assert (
        status == 3 and "live accuracy 0.000 (0.000 to 0.088) of 40 labelled; test 0.500 (0.400 to 0.600)  ALARM" in out
    )
    sent = metrics(registry)
    assert [(point.step, point.value) for point in sent["alarms"]] == [(0, 0), (1, len(found["windows"][1]["alarms"]))]
    assert sent["brightness_p"] and sent["live_accuracy"][-1].value == 0


def shift_back(folder: Path) -> None:
    """Let the rows be an hour old, so that their windows are complete."""
    rows = read_log(folder)
    earlier = pc.subtract(rows["at"], pa.scalar(3_600_000_000, pa.duration("us")))
    for file in folder.glob("*.parquet"):
        file.unlink()
    log(folder, f"{START:.0f}", rows.set_column(0, rows.schema.field("at"), earlier))


def test_a_version_of_an_earlier_release_has_nothing_to_compare_with_and_says_so(registry, vit, tmp_path):  # noqa: F811
    number = registry.damaged("without a sample", lambda folder: (folder / VAL_SAMPLE).unlink())
    folder = tmp_path / "log"
    serve(registry, folder, sorted((registry.folder / "raw0").rglob("*.png"))[:1])
    status, _, err = vit("monitor", "--log", str(folder), "--version", number)
    assert status == 1 and f"version {number} has no {VAL_SAMPLE} to compare with" in err and "dvc repro" in err


@pytest.mark.slow
def test_two_workers_that_are_stopped_in_order_have_written_all_that_they_answered(registry):
    registry.point_to("1")
    port, project = free_port(), Project(registry.folder, clean_environment())
    server = documented("MLFLOW_PYFUNC_INFERENCE_CONFIG='{\"log_predictions").replace('s"}', 's", "log_seconds": 30}')
    body = json.dumps({"inputs": [base64.b64encode(registry.image.read_bytes()).decode()] * 3}).encode()
    answered = []
    with project.running(f"env {server} --workers 2 --port {port}", f"http://127.0.0.1:{port}/ping"):
        for _ in range(20):
            url = f"http://127.0.0.1:{port}/invocations"
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as answer:
                answered.append(json.load(answer)["request_id"])
    until = time.monotonic() + 10  # the workers end after the command that started them
    while (rows := read_log(registry.folder / ".vit/predictions")).num_rows < 60 and time.monotonic() < until:
        time.sleep(0.1)
    assert rows.num_rows == 60 and set(rows["request_id"].to_pylist()) == set(answered)
