"""Publishing to a real MLflow database: one version per content, one verdict per pair, roll-back by hand only."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.shapes import preset, shapes, untrained
from vit.registry.gate import CHAMPION
from vit.registry.publish import Content, publish
from vit.tracking.run import RunDescription, training_points


@pytest.fixture
def content(tmp_path, monkeypatch) -> Content:
    """A published content of an untrained model; variants of it are made with `better`."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # unset; MLflow exports it, which must not outlive the test
    part = shapes(tmp_path, per_class=2)
    classifier = untrained(preset(tmp_path, "shapes"), part)
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    note = tmp_path / "note.txt"
    note.write_text("kept")
    history = [{"epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5}]
    return Content(
        description=RunDescription("key" * 20, "run", {"train.lr": 0.1}, {}, "0" * 64, "shapes"),
        version_key="1" * 64,
        files_key="files 1",
        points=lambda: training_points(history, [0.1], []),
        summary={"best_val_accuracy": 0.5, "test_accuracy": 0.5},
        details={},
        run_tags=lambda: {"md5/a": "b"},
        version_tags={"val_sha256": "val"},
        artifacts={"": [note]},
        model_folder=tmp_path / "model",
        serving={"max_rows": 4, "max_bytes": 10**6, "max_pixels": 10**6, "precision": "fp32"},
        card="card",
        may_lead=True,
    )


def better(content: Content, number: int, val_accuracy: float, **changes) -> Content:
    return replace(
        content,
        description=replace(content.description, content_key=f"key{number}" * 12, name=f"run {number}"),
        version_key=str(number) * 64,
        summary={"best_val_accuracy": val_accuracy, "test_accuracy": 0.5},
        **changes,
    )


def client(tmp_path: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def champion(tmp_path: Path) -> str:
    return str(client(tmp_path).get_registered_model("vit").aliases[CHAMPION])


def test_publishing_twice_changes_nothing(content, tmp_path):
    assert publish(content, "vit").changed
    again = publish(content, "vit")
    assert not again.changed and again.verdict == "is champion"
    assert len(client(tmp_path).search_model_versions("name = 'vit'")) == 1
    assert [point.value for point in client(tmp_path).get_metric_history(again.run.info.run_id, "val_loss")] == [1.0]


def test_a_better_version_leads_and_a_worse_or_equal_one_does_not(content, tmp_path):
    publish(content, "vit")
    assert "is champion: val accuracy 0.6000 against 0.5000" in publish(better(content, 2, 0.6), "vit").verdict
    for number, accuracy in ((3, 0.6), (4, 0.4)):
        assert "does not replace champion 2" in publish(better(content, number, accuracy), "vit").verdict
    assert champion(tmp_path) == "2"


def test_a_champion_that_was_rolled_back_by_two_returns_only_by_hand(content, tmp_path):
    third = better(content, 3, 0.7)
    for one in (content, better(content, 2, 0.6), third):
        publish(one, "vit")
    assert champion(tmp_path) == "3"
    client(tmp_path).set_registered_model_alias("vit", CHAMPION, "1")
    assert "returns only by hand" in publish(third, "vit").verdict
    assert champion(tmp_path) == "1"


def test_a_verdict_is_kept_when_the_alias_is_moved_by_hand(content, tmp_path):
    second = better(content, 2, 0.4)
    publish(content, "vit")
    publish(second, "vit")
    client(tmp_path).set_registered_model_alias("vit", CHAMPION, "2")
    assert "was judged before against champion 2" in publish(content, "vit").verdict
    assert champion(tmp_path) == "2"


def test_a_model_of_a_subset_never_leads(content, tmp_path):
    verdict = publish(replace(content, may_lead=False), "vit").verdict
    assert "subset" in verdict
    assert CHAMPION not in client(tmp_path).get_registered_model("vit").aliases


def test_other_weights_of_the_same_run_do_not_overwrite_what_the_first_version_serves(content, tmp_path):
    first = publish(content, "vit").version
    second = publish(replace(content, version_key="9" * 64, files_key="files 9"), "vit").version
    assert first.run_id == second.run_id and first.source != second.source


def test_new_test_figures_reach_the_version_too(content, tmp_path):
    publish(content, "vit")
    changed = replace(
        content, files_key="files 2", summary={"best_val_accuracy": 0.5, "test_accuracy": 0.75}, card="new"
    )
    version = publish(changed, "vit").version
    assert (version.version, version.tags["test_accuracy"], version.description) == (1, "0.75", "new")


def test_a_publication_that_was_cut_off_while_replacing_a_version_is_completed(content, tmp_path):
    first = publish(content, "vit")
    store = client(tmp_path)
    store.delete_run(first.run.info.run_id)
    home = store.create_run(first.run.info.experiment_id)
    cut_off = store.create_model_version("vit", "nowhere", home.info.run_id, tags={"version_key": content.version_key})
    version = publish(content, "vit").version
    (left,) = store.search_model_versions("name = 'vit'")
    assert left.version == version.version
    assert cut_off.version != first.version.version
    assert champion(tmp_path) == str(version.version)


def test_new_settings_of_serving_take_the_place_of_the_old_ones_in_the_same_version(content, tmp_path):
    first = publish(content, "vit").version
    again = publish(replace(content, serving=content.serving | {"max_rows": 7}), "vit")
    assert again.changed and again.version.version == first.version
    (settings,) = tmp_path.rglob("MLmodel")
    assert "max_rows: 7" in settings.read_text()
