"""The logged model of a version in a real MLflow database: what its pages show, whatever was lost before."""

import json
from dataclasses import replace

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Run

from tests.contents import of_the_same_run
from tests.registry.conftest import champion
from vit.files import read_json
from vit.registry.logged_model import SOURCE
from vit.registry.publish import Content, publish
from vit.registry.served import save_served
from vit.registry.versions import downloaded
from vit.tracking.page import VIEW_TAG
from vit.tracking.store import open_store

pytestmark = pytest.mark.long


@pytest.fixture
def content(publisher) -> Content:
    content = publisher.content(1, right=50)
    return replace(content, version_tags=content.version_tags | {"model.depth": "2"})


def models(client: MlflowClient, run: Run) -> list[LoggedModel]:
    return client.search_logged_models([run.info.experiment_id])


def latest(model: LoggedModel) -> dict[str, float]:
    return {point.key: point.value for point in sorted(model.metrics, key=lambda point: point.timestamp)}


def test_a_run_and_its_version_show_one_ready_model_with_parameters_and_final_metrics(content, client):
    published = publish(content, "vit")
    (model,) = models(client, published.run)
    assert model.status == LoggedModelStatus.READY
    assert model.source_run_id == published.run.info.run_id
    assert [output.model_id for output in client.get_run(model.source_run_id).outputs.model_outputs] == [model.model_id]
    assert published.version.source == SOURCE + model.model_id
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "vit", "version": "1"}]
    assert model.params == {"model.depth": str(content.description.params["model.depth"])}
    assert latest(model) == content.summary
    assert {(point.dataset_name, point.dataset_digest) for point in model.metrics} == {("shapes", "0" * 36)}
    assert mlflow.pyfunc.load_model(SOURCE + model.model_id).metadata.signature.inputs.input_names() == ["image"]
    assert [one.version for one in client.search_model_versions("tags.`model.depth` = '2'")] == [1]


def test_publishing_twice_changes_nothing_of_the_model_and_stores_no_point_of_the_run_twice(content, client):
    publish(content, "vit")
    (before,) = models(client, publish(content, "vit").run)
    again = publish(content, "vit")
    (after,) = models(client, again.run)
    assert not again.changed and after.last_updated_timestamp == before.last_updated_timestamp
    assert len(after.metrics) == len(content.summary)
    assert len(client.get_run(after.source_run_id).outputs.model_outputs) == 1
    assert [len(client.get_metric_history(after.source_run_id, key)) for key in content.summary] == [1] * 5


def test_new_figures_reach_the_model_and_a_parameter_that_is_a_default_again_leaves_the_version(content, client):
    publish(content, "vit")
    tags = {key: value for key, value in content.version_tags.items() if key != "model.depth"}
    changed = replace(content, files_key="2", summary=content.summary | {"test_accuracy": 0.75}, version_tags=tags)
    published = publish(changed, "vit")
    (model,) = models(client, published.run)
    assert latest(model)["test_accuracy"] == 0.75
    assert "model.depth" not in published.version.tags


def test_a_model_that_was_cut_off_half_made_is_completed(content, client, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("vit.registry.publish.save_served", full)
        with pytest.raises(Exception, match="no space left"):
            publish(content, "vit")
    run = client.search_runs(["1"])[0]
    (half,) = models(client, run)
    assert half.status == LoggedModelStatus.PENDING
    assert client.search_model_versions("name = 'vit'") == []
    publish(content, "vit")
    (whole,) = models(client, run)
    assert whole.model_id == half.model_id and whole.status == LoggedModelStatus.READY


def test_a_model_that_was_deleted_in_the_ui_comes_back_with_a_version_that_has_the_aliases(content, client):
    first = publish(content, "vit")
    (deleted,) = models(client, first.run)
    client.delete_logged_model(deleted.model_id)
    again = publish(content, "vit")
    (model,) = models(client, again.run)
    assert again.run.info.run_id == first.run.info.run_id and model.model_id != deleted.model_id
    (version,) = client.search_model_versions("name = 'vit'")
    assert version.source == SOURCE + model.model_id and champion(client) == str(version.version)


def test_a_version_whose_run_is_gone_leaves_no_model_behind(content, client):
    first = publish(content, "vit")
    (old,) = models(client, first.run)
    client.set_tag(first.run.info.run_id, "content_key", "of another training")
    client.delete_run(first.run.info.run_id)
    again = publish(content, "vit")
    (model,) = models(client, again.run)
    assert model.model_id != old.model_id and model.source_run_id == again.run.info.run_id
    assert latest(model) == content.summary


def test_two_versions_of_one_run_are_two_models_of_it(content, client):
    run = publish(content, "vit").run
    publish(of_the_same_run(content, "9" * 64), "vit")
    ids = {output.model_id for output in client.get_run(run.info.run_id).outputs.model_outputs}
    assert len(ids) == 2 and ids == {model.model_id for model in models(client, run)}


def test_a_version_of_an_earlier_release_stays_where_it_serves_from_and_its_run_shows_a_model(
    content, client, tmp_path
):
    """Up to 0.5 the files lay below the run, and there was no logged model."""
    run = publish(content, "vit").run
    client.delete_registered_model("vit")
    (model,) = models(client, run)
    client.delete_logged_model(model.model_id)
    folder = f"models/{content.version_key[:12]}"
    save_served(tmp_path / "served", content.model_folder, content.serving)
    client.log_artifacts(run.info.run_id, str(tmp_path / "served"), folder)
    client.create_registered_model("vit")
    source = f"{run.info.artifact_uri}/{folder}"
    client.create_model_version("vit", source, run.info.run_id, {"version_key": content.version_key})
    client.set_registered_model_alias("vit", "champion", "1")

    published = publish(replace(content, serving=content.serving | {"max_rows": 7}), "vit")
    assert (published.version.version, published.version.source) == (1, source)
    (model,) = models(client, run)
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "vit", "version": "1"}]
    served = mlflow.pyfunc.load_model("models:/vit@champion")
    assert served.model_config["max_rows"] == 7
    with downloaded("models:/vit@champion") as weights:
        assert read_json(weights / "config.json") == read_json(content.model_folder / "config.json")


def test_the_table_of_runs_has_a_view_with_metrics_which_a_person_may_change(publisher):
    store = open_store()
    saved = json.loads(store.client.get_experiment(store.experiment_id).tags[VIEW_TAG])
    assert "metrics.`test_accuracy`" in json.loads(saved["state"])["selectedColumns"]
    store.client.set_experiment_tag(store.experiment_id, VIEW_TAG, "changed")
    assert open_store().client.get_experiment(store.experiment_id).tags[VIEW_TAG] == "changed"
