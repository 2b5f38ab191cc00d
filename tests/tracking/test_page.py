"""The address of the runs, and the columns that their table opens with."""

import json

import pytest

from tests.tracking.test_store import begin_in
from vit.tracking.page import VIEW_TAG, runs_page
from vit.tracking.store import open_store

QUERY = "/runs?workflowType=machine_learning&viewStateShareKey=trainings"


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("sqlite:////repo/mlflow.db", "http://127.0.0.1:5000/#/experiments/3"),
        ("postgresql://me:secret@db/mlflow", "http://127.0.0.1:5000/#/experiments/3"),
        ("http://me:secret@runs.example.org:5001/", "http://runs.example.org:5001/#/experiments/3"),
        ("http://me:secret@[::1]:5000", "http://[::1]:5000/#/experiments/3"),
        ("https://runs.example.org/mlflow", "https://runs.example.org/mlflow/#/experiments/3"),
    ],
)
def test_the_runs_are_at_the_server_without_its_password_else_on_this_machine(uri, page):
    assert runs_page(uri, "3") == page + QUERY


def test_an_experiment_has_a_view_with_metrics_which_a_person_may_change(tmp_path, monkeypatch):
    begin_in(tmp_path, monkeypatch)
    store = open_store()
    saved = json.loads(store.client.get_experiment(store.experiment_id).tags[VIEW_TAG])
    assert "metrics.`test_accuracy`" in json.loads(saved["state"])["selectedColumns"]
    store.client.set_experiment_tag(store.experiment_id, VIEW_TAG, "changed")
    assert open_store().client.get_experiment(store.experiment_id).tags[VIEW_TAG] == "changed"
