from pathlib import Path

import pytest
from mlflow import MlflowClient

from vit.compare import comparison, main
from vit.errors import UserError
from vit.files import write_table


def table(right: str, groups: str | None = None, labels: str = "", folder: str = "x") -> list[dict[str, str]]:
    """Predictions for as many images as `right` has letters, correct where it has a 1; a letter of `groups` each."""
    rows = []
    for index, one in enumerate(right):
        label = labels[index] if labels else "cat"
        row = {"path": f"{folder}/{index}.png", "label": label, "prediction": label if one == "1" else "wrong"}
        rows.append(row | ({"group": groups[index]} if groups else {}))
    return rows


def test_accuracies_disputed_images_difference_and_p_are_those_counted_by_hand():
    text = comparison(table("1" * 5 + "0" * 5 + "1" * 10), table("1" * 2 + "0" * 3 + "1" * 15), 0.95, seed=0)
    assert "the same 20 test images: A 0.7500, B 0.8500" in text
    assert "both 12, only A 3, only B 5, neither 0" in text
    assert "B minus A: +0.1000, 95% interval" in text and "20 groups" in text and "no difference is shown" in text
    # 3 of 8 disputed images: 2 * (1 + 8 + 28 + 56) / 256.
    assert text.endswith("p = 0.727")


def test_the_better_run_is_named_on_either_side():
    good, bad = table("1" * 60), table("01" * 30)
    assert "B is better" in comparison(bad, good, 0.95, seed=0)
    assert "A is better" in comparison(good, bad, 0.95, seed=0)


def test_the_order_of_the_images_does_not_matter():
    a, b = table("1100111010", "aabbccddee"), table("0101110111", "aabbccddee")
    assert comparison(a, b[::-1], 0.9, seed=1) == comparison(a, b, 0.9, seed=1)


def test_images_of_groups_are_drawn_together_and_the_p_is_warned_of():
    a, b = ("0" * 20 + "1" * 20) * 3, ("1" * 20 + "0" * 4 + "1" * 16) * 3
    groups = "".join(letter * 20 for letter in "abcdef")
    alone, grouped = (comparison(table(a, one), table(b, one), 0.95, seed=0) for one in (None, groups))
    assert "B is better" in alone and "6 groups" not in alone and "believe the interval" not in alone
    assert "no difference is shown" in grouped and "6 groups" in grouped and "believe the interval" in grouped
    assert "p = " in grouped


def test_of_two_groupings_the_one_with_fewer_groups_counts_and_one_is_enough():
    a, b = "1100111010", "0101110111"
    few, many = table(b, "aaaaabbbbb"), table(b, "aabbccddee")
    assert "of 2 groups" in comparison(table(a, "aabbccddee"), few, 0.9, seed=0)
    assert "of 5 groups" in comparison(table(a), many, 0.9, seed=0)


def test_other_images_and_other_labels_are_refused_with_their_number():
    with pytest.raises(UserError, match=r"different images: A on 4, B on 3, 3 of them the same; train both with the"):
        comparison(table("1101"), table("110"), 0.95, seed=0)
    with pytest.raises(UserError, match=r"A on 3, B on 3, 0 of them the same"):
        comparison(table("110"), table("110", folder="y"), 0.95, seed=0)
    with pytest.raises(UserError, match=r"1 test images have different labels .*'x/1\.png' is 'b' and 'c'"):
        comparison(table("111", labels="aba"), table("111", labels="aca"), 0.95, seed=0)


def add_run(client: MlflowClient, name: str, rows: list[dict] | None) -> str:
    """A finished run with these predictions, or without any."""
    experiment = client.get_experiment_by_name("vit").experiment_id
    run_id = client.create_run(experiment, run_name=name).info.run_id
    if rows is not None:
        write_table(Path("predictions.csv"), rows)
        client.log_artifact(run_id, "predictions.csv", "evaluation")
    client.set_terminated(run_id)
    return run_id


def printed(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["compare", *arguments])
    main()
    return capsys.readouterr().out


def test_a_run_is_found_by_name_by_id_and_by_the_model_that_it_made(client, monkeypatch, capsys):
    first = add_run(client, "plain", table("1100"))
    second = add_run(client, "wide", table("1110"))
    client.create_registered_model("vit")
    client.create_model_version("vit", "models/none", run_id=second)
    client.set_registered_model_alias("vit", "champion", 1)
    by_name = printed(monkeypatch, capsys, "plain", "wide")
    assert f"A: run 'plain' ({first})" in by_name and f"B: run 'wide' ({second})" in by_name
    assert "A 0.5000, B 0.7500" in by_name
    assert printed(monkeypatch, capsys, first, "models:/vit@champion") == by_name
    assert printed(monkeypatch, capsys, first, "models:/vit/1") == by_name
    with pytest.raises(UserError, match=r"no model 'models:/vit@best' in the registry"):
        printed(monkeypatch, capsys, first, "models:/vit@best")


def test_what_is_not_there_or_not_one_is_refused(client, monkeypatch, capsys):
    first = add_run(client, "plain", table("1100"))
    with pytest.raises(UserError, match=r"no finished run has the id or name 'wide'; the newest are 'plain'"):
        printed(monkeypatch, capsys, "plain", "wide")
    empty = add_run(client, "empty", None)
    with pytest.raises(UserError, match=r"run 'empty' has no evaluation/predictions\.csv"):
        printed(monkeypatch, capsys, "plain", empty)
    second = add_run(client, "plain", table("1100"))
    with pytest.raises(UserError, match=rf"2 runs are called 'plain'; take one by its id: .*{first}") as caught:
        printed(monkeypatch, capsys, "plain", first)
    assert second in str(caught.value)
