"""The address of the runs."""

import pytest

from vit.tracking.page import runs_page

pytestmark = pytest.mark.long

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
