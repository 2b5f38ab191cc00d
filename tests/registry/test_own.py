"""The repo's own store read without MLflow: it tells what MLflow tells, and is silent where it cannot know."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from tests.registry.conftest import set_champion_by_other_means
from vit.config.files import CONFIG, WEIGHTS
from vit.files import read_json
from vit.registry.overview import versions_of
from vit.registry.own import served_folder, version_and_run, versions
from vit.registry.versions import SERVED_FILES, downloaded
from vit.tracking import own
from vit.tracking.store import open_store

pytestmark = pytest.mark.long


@pytest.fixture
def three(three):
    """The store with three versions, opened once: it is a copy, so MLflow has to correct its paths."""
    open_store()
    return three


def test_the_database_has_the_tables_that_are_known_here(publisher):
    with closing(sqlite3.connect(publisher.folder / "mlflow.db")) as connection:
        rows = connection.execute("SELECT version_num FROM alembic_version")
        assert rows.fetchall() == [(own.SCHEMA,)]  # after an update: compare vit/registry/own.py with MLflow's tables


def test_every_version_alias_and_tag_is_the_one_that_mlflow_tells(three, client):
    client.delete_model_version("vit", "2")
    aliases, found = versions("vit")
    assert aliases == {name: str(number) for name, number in client.get_registered_model("vit").aliases.items()}
    told = {str(one.version): one for one in client.search_model_versions("name = 'vit'")}
    assert {str(one.version) for one in found} == told.keys() == {"1", "3"}
    for one in found:
        theirs = told[str(one.version)]
        assert (one.name, one.run_id, one.creation_timestamp) == ("vit", theirs.run_id, theirs.creation_timestamp)
        assert one.tags == theirs.tags
        assert one.location == client.get_model_version_download_uri("vit", str(one.version))


def test_the_run_below_a_version_is_the_one_that_mlflow_tells(three, client):
    version, aliases, run = version_and_run("models:/vit@champion")
    theirs = client.get_run(version.run_id)
    assert (str(version.version), aliases) == ("3", ["challenger", "champion"])
    assert (run.run_name, run.tags, run.location) == (theirs.info.run_name, theirs.data.tags, theirs.info.artifact_uri)
    client.delete_run(version.run_id)
    assert version_and_run("models:/vit@champion") is None


def test_the_list_of_versions_is_the_same_with_and_without_mlflow(three, client, monkeypatch):
    client.set_registered_model_alias("vit", "night", "1")
    without = versions_of("vit", 0.95)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{own.database()}")
    assert versions("vit") is None  # so that MLflow is asked
    assert versions_of("vit", 0.95) == without and without[2]["aliases"] == ["night"]


def test_a_champion_that_moved_is_followed_at_once_and_its_files_are_those_that_mlflow_downloads(three, client):
    for number in ("1", "3", "2"):
        set_champion_by_other_means(client, number)
        uri = client.get_model_version_download_uri("vit", number)
        theirs = Path(mlflow.artifacts.download_artifacts(f"{uri}/{SERVED_FILES}"))
        with downloaded("models:/vit@champion") as folder:
            assert folder == served_folder("models:/vit@champion", SERVED_FILES)
            assert {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)} == {
                name: (theirs / name).read_bytes() for name in (CONFIG, WEIGHTS)
            }
        with downloaded(f"models:/vit/{number}") as same:
            assert same == folder


def test_what_is_not_there_or_elsewhere_is_left_to_mlflow(three, monkeypatch):
    for uri in (
        "models:/vit@nobody",
        "models:/vit/9",
        "models:/vit@3",
        "models:/vit/champion",
        "models:/other@champion",
    ):
        assert served_folder(uri, SERVED_FILES) is None and version_and_run(uri) is None
    assert versions("vit") is not None and versions("other") is None
    for name in ("MLFLOW_TRACKING_URI", *own.ELSEWHERE):
        with monkeypatch.context() as patch:
            patch.setenv(name, "http://127.0.0.1:9")
            assert versions("vit") is None


def test_a_database_that_cannot_be_read_is_left_to_mlflow(three, publisher, monkeypatch):
    file = publisher.folder / "mlflow.db"
    monkeypatch.setattr(own, "PATIENCE", 0.01)
    with closing(sqlite3.connect(file, isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        assert versions("vit") is None
        held.execute("ROLLBACK")
        assert versions("vit") is not None
        held.execute("UPDATE alembic_version SET version_num = 'other'")
        assert versions("vit") is None
    for damage in (lambda: file.write_text("no database " * 1000), file.unlink):
        damage()
        assert versions("vit") is None


def test_a_repo_that_was_moved_is_left_to_mlflow_which_corrects_its_paths(three, publisher, monkeypatch):
    versions_of("vit", 0.95)
    moved = publisher.folder.rename(publisher.folder.with_name("moved, 100% 'süß' #1?"))
    monkeypatch.setenv("DVC_ROOT", str(moved))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.chdir(moved)
    assert served_folder("models:/vit@champion", SERVED_FILES) is None
    with downloaded("models:/vit@champion") as folder:
        read_json(folder / CONFIG)
    here = served_folder("models:/vit@champion", SERVED_FILES)
    assert here is not None and here.is_relative_to(moved / "mlruns")


def test_files_outside_the_repo_s_own_folder_are_left_to_mlflow(three, client, tmp_path):
    with downloaded("models:/vit@champion") as folder:
        shutil.copytree(folder, tmp_path / "elsewhere" / SERVED_FILES)
    client.create_registered_model("other")
    client.create_model_version("other", (tmp_path / "elsewhere").as_uri())
    assert [one.location for one in versions("other")[1]] == [(tmp_path / "elsewhere").as_uri()]
    assert served_folder("models:/other/1", SERVED_FILES) is None
