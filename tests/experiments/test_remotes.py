"""Data and artifacts in S3, runs in PostgreSQL: real clients and servers here, skipped where there are none."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import INSTALLED, Project, documented, free_port
from tests.experiments.sweep import PARAMS_OF_THE_SWEEP
from tests.postgres import NO_CLIENT, Postgres, rows
from tests.store import look, stages_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(find_spec, ("boto3", "dvc_s3", "moto"))),
        reason="no S3: pip install -r requirements-remote.txt -r requirements-remote-test.txt -c constraints.txt",
    ),
]
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def store(swept) -> Iterator[tuple[Project, str]]:
    """The clone of the sweep with one of its trainings in the working tree, and the address of an S3 with a bucket."""
    import boto3

    swept.run(f"git checkout -q . && {PARAMS_OF_THE_SWEEP} && dvc repro")
    url = f"http://127.0.0.1:{(port := free_port())}"
    with swept.running(f"moto_server --host 127.0.0.1 --port {port}", f"{url}/moto-api/"):
        swept.env |= KEYS
        bucket = boto3.client("s3", endpoint_url=url, aws_access_key_id="key", aws_secret_access_key="secret")
        bucket.create_bucket(Bucket="my-bucket")
        yield swept, url
        swept.run("git checkout -q . && rm -f .dvc/config.local")


def objects(url: str, prefix: str) -> list[str]:
    import boto3

    client = boto3.client("s3", endpoint_url=url, aws_access_key_id="key", aws_secret_access_key="secret")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="my-bucket", Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def test_data_and_models_go_to_a_bucket_and_come_back(store):
    project, url = store
    endpoint = documented("dvc remote modify --local store endpointurl")
    project.run(documented("dvc remote add --default store s3://"))
    project.run(endpoint.replace("https://s3.example.org", url))
    project.run(f"{documented('make push')} {INSTALLED}")
    assert len(objects(url, "vit/files/md5/")) > 100
    listed = "find data model training evaluation -type f | sort | xargs sha256sum"
    before = project.run(listed).stdout
    for folder in (".dvc/cache", "data", "model", "training", "evaluation"):
        shutil.rmtree(project.folder / folder)
    project.run(f"{documented('make pull')} {INSTALLED}")
    assert project.run(listed).stdout == before
    assert stages_run(project.run("dvc repro").stdout) == ["register"]


@contextmanager
def postgres() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder, "postgres")) as database:
        yield database.uri


@contextmanager
def sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/mlflow.db"


@pytest.mark.parametrize(
    "database",
    [
        sqlite,
        pytest.param(
            postgres,
            marks=pytest.mark.skipif(NO_CLIENT is not None, reason=str(NO_CLIENT)),
        ),
    ],
)
def test_a_server_keeps_runs_in_a_database_and_artifacts_in_a_bucket(store, database):
    project, url = store
    command = documented("mlflow server --backend-store-uri postgresql")
    was = "postgresql+psycopg2://mlflow:secret@db/mlflow"
    assert was in command
    address = f"http://127.0.0.1:{(port := free_port())}"
    with database() as uri:
        command = f"{command.replace(was, uri)}-{database.__name__} --host 127.0.0.1 --port {port} --workers 1"
        with project.running(command, f"{address}/health", MLFLOW_S3_ENDPOINT_URL=url):
            published = project.run("dvc repro", MLFLOW_TRACKING_URI=address)
            assert stages_run(published.stdout) == ["register"] and "published: run" in published.stdout
            held = look(project, address)
            (run,), (version,) = held.runs, held.versions
            assert held.aliases == {"champion": str(version.version), "challenger": str(version.version)}
            assert any(key.endswith("model.safetensors") for key in objects(url, f"mlflow-{database.__name__}/"))
            verified = project.run(documented("vit registry verify"), MLFLOW_TRACKING_URI=address).stdout
            assert "verified: " in verified
        if database is postgres:
            assert rows(uri, "SELECT run_uuid, status FROM runs") == [(run.info.run_id, "FINISHED")]
