"""The MLflow store in this process: a database that moves with its repo."""

from pathlib import Path

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import free_port
from tests.local_server import Answer, serving
from vit.errors import UserError
from vit.tracking.run import RunDescription, find_or_create_run, find_run
from vit.tracking.store import open_store, sqlite_path, sqlite_uri, tracking_uri

pytestmark = pytest.mark.long

DESCRIPTION = RunDescription("key" * 20, "run", {"train.lr": 0.1}, {}, "0" * 64, "shapes")


def begin_in(folder: Path, monkeypatch) -> None:
    """As if a process began in `folder`, with no URI set: MLflow exports the one of the store opened last."""
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")


def test_artifacts_are_found_after_the_repo_was_moved(tmp_path, monkeypatch):
    before, after = tmp_path / "a", tmp_path / "b"
    before.mkdir()
    note = tmp_path / "note.txt"
    note.write_text("kept")
    begin_in(before, monkeypatch)
    store = open_store()
    run = find_or_create_run(store, DESCRIPTION)
    store.client.log_artifact(run.info.run_id, str(note))
    before.rename(after)

    begin_in(after, monkeypatch)
    moved = find_run(open_store(), DESCRIPTION.content_key)
    assert moved.info.run_id == run.info.run_id
    assert moved.info.artifact_uri.startswith((after / "mlruns").as_uri())
    found = mlflow.artifacts.download_artifacts(f"{moved.info.artifact_uri}/note.txt")
    assert Path(found).is_relative_to(after) and Path(found).read_text() == "kept"


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_the_uri_of_a_database_names_the_very_file(name):
    path = Path("/") / name / "mlflow.db"
    assert sqlite_path(sqlite_uri(path)) == path


def test_any_folder_can_hold_the_store(tmp_path, monkeypatch):
    folder = tmp_path / """a b, 100%41 who? #1 it's "quoted" süß 🐭 c+d&e=f;g ~"""
    folder.mkdir()
    begin_in(folder, monkeypatch)
    store = open_store()
    run = find_or_create_run(store, DESCRIPTION)
    (tmp_path / "note.txt").write_text("kept")
    store.client.log_artifact(run.info.run_id, str(tmp_path / "note.txt"))
    found = mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/note.txt")
    assert Path(found).read_text() == "kept" and Path(found).is_relative_to(folder / "mlruns")
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, "note.txt"}


def test_a_relative_database_lies_at_the_root_of_the_repo(tmp_path, monkeypatch):
    begin_in(tmp_path / "r%20r", monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    assert sqlite_path(tracking_uri()) == tmp_path / "r%20r" / "runs.db"


@pytest.mark.parametrize(
    ("uri", "ways_out"),
    [
        ("http://someone:planted@127.0.0.1:{port}", ("start it", "unset it")),
        ("postgresql+psycopg3000://someone:planted@127.0.0.1:{port}/db", ("install its driver",)),
        ("postgresql+pg8000://someone:plan/ted@127.0.0.1:{port}/planted?password=planted", ("install its driver",)),
        ("ftp://someone:planted@127.0.0.1:{port}", ("correct MLFLOW_TRACKING_URI",)),
        ("sqlite:////dev/null/planted/mlflow.db", ("correct MLFLOW_TRACKING_URI",)),
    ],
)
def test_a_store_that_cannot_be_opened_ends_in_one_line_without_its_password(tmp_path, monkeypatch, uri, ways_out):
    begin_in(tmp_path, monkeypatch)
    uri = uri.format(port=free_port())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError) as error:
        open_store()
    message = str(error.value)
    assert message.startswith("the MLflow store ") and "\n" not in message
    assert all(way in message for way in ways_out)
    assert "someone" not in message and "planted@" not in message and "=planted" not in message


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_login_is_not_said_to_be_down(tmp_path, monkeypatch, status):
    begin_in(tmp_path, monkeypatch)
    with serving(lambda path, body: Answer(status, b"You are not authenticated.")) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("//", "//someone:planted@"))
        with pytest.raises(UserError, match="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD") as error:
            open_store()
    assert "start it" not in str(error.value) and "planted" not in str(error.value)


def test_a_file_that_is_no_database_is_named_at_once(tmp_path, monkeypatch):
    begin_in(tmp_path, monkeypatch)
    (tmp_path / "mlflow.db").write_text("not a database")
    with pytest.raises(UserError, match=r"mlflow.db does not respond \(.*not a database.*; check that it can be read"):
        open_store()
