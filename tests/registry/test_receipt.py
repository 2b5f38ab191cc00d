"""The receipt of a publication: good as long as nothing that the publication depends on has changed."""

import shutil
from pathlib import Path

import pytest

from vit.registry import receipt
from vit.registry.publish import publish
from vit.tracking.store import open_store

pytestmark = pytest.mark.long

SAID = "already published"


@pytest.fixture
def published(publisher):
    """A publication with its receipt, in a repo with one small file for each that a stage would have written."""
    for path in (*receipt.FILES, *(folder / "file" for folder in receipt.FOLDERS), Path("stages/register.py")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    content = publisher.content(1, right=60)
    done = publish(content, "vit")

    def again() -> str:
        return SAID if not publish(content, "vit").changed else "published"

    inputs, key = receipt.inputs_state(), content.description.content_key
    receipt.keep(inputs, key, (done.run.info.artifact_uri, done.location), again)
    assert receipt.said_of_the_same() == SAID
    return done


def test_a_file_that_changes_appears_or_is_gone_ends_it_and_the_same_bytes_bring_it_back(published):
    for path in (*receipt.FILES, *(folder / "file" for folder in receipt.FOLDERS), Path("stages/register.py")):
        before = path.read_bytes()
        path.write_text("other")
        assert receipt.said_of_the_same() is None, path
        path.unlink()
        assert receipt.said_of_the_same() is None, path
        path.write_bytes(before)
        assert receipt.said_of_the_same() == SAID, path
    for folder in (*receipt.FOLDERS, Path("stages")):
        (folder / "new.py").touch()
        assert receipt.said_of_the_same() is None, folder
        (folder / "new.py").unlink()


def test_anything_deleted_from_the_artifacts_ends_it(published):
    for uri in (published.run.info.artifact_uri, published.location):
        folder = Path(uri.removeprefix("file://"))
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        assert files
        for file in files:
            aside = file.rename(folder.parent / "aside")
            assert receipt.said_of_the_same() is None, file
            aside.rename(file)
        assert receipt.said_of_the_same() == SAID
    shutil.rmtree(folder)
    assert receipt.said_of_the_same() is None


def test_anything_that_changes_in_the_store_ends_it_and_reading_does_not(published, publisher, client):
    run_id, experiment = published.run.info.run_id, published.run.info.experiment_id
    (model,) = client.search_logged_models([experiment])
    client.get_model_version_by_alias("vit", "champion")
    assert open_store().client.search_runs([experiment]) and receipt.said_of_the_same() == SAID
    for change in (
        lambda: client.log_metric(run_id, "by_hand", 1.0),
        lambda: client.delete_tag(run_id, "published"),
        lambda: client.delete_registered_model_alias("vit", "champion"),
        lambda: client.delete_logged_model(model.model_id),
        lambda: client.delete_model_version("vit", "1"),
        lambda: client.delete_run(run_id),
        lambda: client.delete_experiment(experiment),
        lambda: (publisher.folder / "mlflow.db").unlink(),
    ):
        before = (publisher.folder / "mlflow.db").read_bytes()
        change()
        assert receipt.said_of_the_same() is None
        (publisher.folder / "mlflow.db").write_bytes(before)
        assert receipt.said_of_the_same() == SAID


def test_another_store_or_what_is_half_written_left_over_or_damaged_ends_it(published, publisher, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "other")
            assert receipt.said_of_the_same() is None
    journal = publisher.folder / "mlflow.db-journal"
    journal.touch()
    assert receipt.said_of_the_same() is None
    journal.unlink()
    left = publisher.folder / "checkpoints" / published.run.data.tags["content_key"]  # register deletes them
    left.mkdir(parents=True)
    assert receipt.said_of_the_same() is None
    left.rmdir()
    assert receipt.said_of_the_same() == SAID
    (publisher.folder / receipt.RECEIPT).write_text("{")
    assert receipt.said_of_the_same() is None


def test_a_publication_that_wrote_to_the_store_or_lies_elsewhere_leaves_none(published, publisher, client):
    inputs, uris = receipt.inputs_state(), (published.run.info.artifact_uri, published.location)

    def writing() -> str:
        client.log_metric(published.run.info.run_id, "looks", 2.0)
        return SAID

    (publisher.folder / receipt.RECEIPT).unlink()
    receipt.keep(inputs, "key", uris, writing)
    receipt.keep("other inputs", "key", uris, lambda: SAID)
    receipt.keep(inputs, "key", (*uris, publisher.folder.parent.as_uri()), lambda: SAID)
    assert not (publisher.folder / receipt.RECEIPT).exists()
    receipt.keep(inputs, "key", uris, lambda: SAID)
    assert receipt.said_of_the_same() == SAID
