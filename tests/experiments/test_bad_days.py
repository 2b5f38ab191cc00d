"""The database behind MLflow's server crashes while a training logs and a server follows the champion."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Project, clone, free_port
from tests.postgres import NO_CLIENT, Postgres, rows
from tests.store import look
from vit.files import read_table

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NO_CLIENT is not None, reason=str(NO_CLIENT))]

EPOCHS = 150  # of about 0.2 s, so that the training outlives the crash
AWAY = 6  # seconds


@pytest.fixture
def project(tmp_path) -> Project:
    project = clone(tmp_path / "repo")
    changes = f"s/^  epochs: 8/  epochs: {EPOCHS}/; s/^  threads: auto/  threads: 1/"
    project.run(f"vit preset shapes --force && sed -i '{changes}' params.yaml && git commit -qam shapes")
    return project


def test_a_database_that_crashes_during_a_training_costs_it_nothing(project, tmp_path):
    address = f"http://127.0.0.1:{(port := free_port())}"
    with Postgres(tmp_path / "postgres") as database:
        server = f"mlflow server --backend-store-uri {database.uri} --artifacts-destination {tmp_path}/artifacts"
        with project.running(f"{server} --host 127.0.0.1 --port {port} --workers 1", f"{address}/health"):
            log = (tmp_path / "training").open("w")
            env = project.env | {"MLFLOW_TRACKING_URI": address}
            training = subprocess.Popen(
                ["dvc", "repro"], cwd=project.folder, env=env, stdout=log, stderr=subprocess.STDOUT
            )
            logged = "SELECT count(*) FROM metrics WHERE key = 'val_loss'"
            while rows(database.uri, logged)[0][0] < 3:
                assert training.poll() is None, (tmp_path / "training").read_text()
                time.sleep(0.2)
            database.stop(signal.SIGQUIT)
            time.sleep(AWAY)
            assert training.poll() is None, "it was over before the database came back"
            database.start()
            status = training.wait(timeout=280)
            said = (tmp_path / "training").read_text()
            assert status == 0, said
            assert "Traceback" not in said
            assert said.count("not reported live to MLflow") == said.count("reported live to MLflow again") == 1
            held = look(project, address)
            (run,), (version,) = held.runs, held.versions
            assert run.info.status == "FINISHED" and held.aliases["champion"] == str(version.version)
            epochs = [int(row["epoch"]) for row in read_table(Path(project.folder, "training/history.csv"))]
            assert [point.step for point in held.client.get_metric_history(run.info.run_id, "val_loss")] == epochs
