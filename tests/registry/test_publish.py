"""Publishing to a real MLflow database: one version per content, complete whatever happened before."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.contents import of_the_same_run
from tests.registry.conftest import champion
from vit.registry.publish import Content, publish

pytestmark = pytest.mark.long


@pytest.fixture
def content(publisher) -> Content:
    return publisher.content(1, right=50)


def test_publishing_twice_changes_nothing(content, client):
    assert publish(content, "vit").changed
    again = publish(content, "vit")
    assert not again.changed and again.verdict == "is champion"
    assert len(client.search_model_versions("name = 'vit'")) == 1
    assert [point.value for point in client.get_metric_history(again.run.info.run_id, "val_loss")] == [1.0]


def test_other_weights_of_the_same_run_do_not_overwrite_what_the_first_version_serves(content):
    first = publish(content, "vit").version
    second = publish(of_the_same_run(content, "9" * 64), "vit").version
    assert first.run_id == second.run_id and first.source != second.source


def test_new_test_figures_reach_the_version_too(content):
    publish(content, "vit")
    changed = replace(content, files_key="files 2", summary=content.summary | {"test_accuracy": 0.75}, card="new")
    version = publish(changed, "vit").version
    assert (version.version, version.tags["test_accuracy"]) == (1, "0.75") and version.description.startswith("new\n")


def test_a_publication_that_was_cut_off_while_replacing_a_version_is_completed(content, client):
    first = publish(content, "vit")
    client.delete_run(first.run.info.run_id)
    home = client.create_run(first.run.info.experiment_id)
    cut_off = client.create_model_version("vit", "nowhere", home.info.run_id, tags={"version_key": content.version_key})
    version = publish(content, "vit").version
    (left,) = client.search_model_versions("name = 'vit'")
    assert left.version == version.version
    assert cut_off.version != first.version.version
    assert champion(client) == str(version.version)


def test_new_settings_of_serving_take_the_place_of_the_old_ones_in_the_same_version(content, client):
    first = publish(content, "vit").version
    again = publish(replace(content, serving=content.serving | {"max_rows": 7}), "vit")
    assert again.changed and again.version.version == first.version
    source = Path(client.get_model_version_download_uri("vit", "1").removeprefix("file://"))
    assert "max_rows: 7" in (source / "MLmodel").read_text()
