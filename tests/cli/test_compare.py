import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.evaluation.test_comparison import table
from vit.files import write_table

pytestmark = pytest.mark.long


def add_run(client: MlflowClient, name: str, rows: list[dict] | None) -> str:
    """A finished run with these predictions, or without any."""
    experiment = client.get_experiment_by_name("vit").experiment_id
    run_id = client.create_run(experiment, run_name=name).info.run_id
    if rows is not None:
        write_table(Path("predictions.csv"), rows)
        client.log_artifact(run_id, "predictions.csv", "evaluation")
    client.set_terminated(run_id)
    return run_id


def test_a_run_is_found_by_name_by_id_and_by_the_model_that_it_made(client, printed, refused):
    first = add_run(client, "plain", table("1100"))
    second = add_run(client, "wide", table("1110"))
    client.create_registered_model("vit")
    client.create_model_version("vit", "models/none", run_id=second)
    client.set_registered_model_alias("vit", "champion", 1)
    by_name = printed("compare", "plain", "wide")
    assert f"A: run 'plain' ({first})" in by_name and f"B: run 'wide' ({second})" in by_name
    assert printed("compare", first, "models:/vit@champion") == by_name
    assert printed("compare", first, "models:/vit/1") == by_name
    assert "no model 'models:/vit@best' in the registry" in refused("compare", first, "models:/vit@best")


def test_text_and_json_say_the_same_and_the_p_of_groups_is_warned_of(client, printed):
    ids = [add_run(client, name, table(right, "aabb")) for name, right in (("plain", "1100"), ("wide", "1110"))]
    found = json.loads(printed("compare", "plain", "wide", "--json"))
    low, high = found.pop("low"), found.pop("high")
    assert found == {
        "run_a": {"name": "plain", "id": ids[0]},
        "run_b": {"name": "wide", "id": ids[1]},
        "same_data": True,
        "images": 4,
        "groups": 2,
        "accuracy_a": 0.5,
        "accuracy_b": 0.75,
        "both_right": 2,
        "only_a_right": 0,
        "only_b_right": 1,
        "neither_right": 1,
        "difference": 0.25,
        "confidence_level": 0.95,
        "mcnemar_p": 1.0,
        "better": None,
    }
    assert printed("compare", "plain", "wide").splitlines()[2:] == [
        "accuracy on the same 4 test images: A 0.5000, B 0.7500",
        "correct: both 2, only A 0, only B 1, neither 1",
        f"B minus A: +0.2500, 95% interval {low:+.4f} to {high:+.4f} (paired bootstrap of 2 groups): "
        "no significant difference",
        "McNemar's exact test: p = 1",
        "McNemar's test ignores that images of a group are similar; rely on the interval",
    ]


def test_what_is_not_there_or_not_one_is_refused(client, refused):
    first = add_run(client, "plain", table("1100"))
    said = "no finished run has the id or name 'wide'; the latest runs are 'plain'"
    assert said in refused("compare", "plain", "wide")
    empty = add_run(client, "empty", None)
    assert "run 'empty' has no evaluation/predictions.csv" in refused("compare", "plain", empty)
    second = add_run(client, "plain", table("1100"))
    said = refused("compare", "plain", first)
    assert "2 runs are called 'plain'; give the id of one: " in said and first in said and second in said
