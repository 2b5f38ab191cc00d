"""The MLflow store in this process: a database that moves with its repo."""

from pathlib import Path

import mlflow

from vit.tracking.run import RunDescription, find_or_create_run, find_run
from vit.tracking.store import open_store

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
