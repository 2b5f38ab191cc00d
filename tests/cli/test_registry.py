"""`vit registry` on a real MLflow database: what a person sees, moves and finds again later."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from tests.conftest import documented
from tests.registry.conftest import all_that_is_kept, champion, set_champion_by_other_means
from vit.registry.champions import BY_HAND, FOUND, GATE, ROLLBACK, Step, history, line
from vit.registry.overview import wilson
from vit.registry.publish import publish

pytestmark = pytest.mark.long


@pytest.fixture
def client(publisher) -> MlflowClient:
    return MlflowClient(f"sqlite:///{publisher.folder}/mlflow.db")


@pytest.fixture
def registry(printed):
    """Run a command and return what it prints."""
    return lambda *arguments: printed("registry", *arguments)


def test_rollback_goes_back_champion_by_champion_marks_what_it_left_and_ends_at_the_first(
    three, registry, refused, client
):
    command = documented("vit registry rollback").split()[2:]
    assert registry(*command) == "version 2 of 'vit' is champion again; version 3 was rolled back\n"
    assert registry("rollback", "--reason", "wrong on\n night frames").startswith(
        "version 1 of 'vit' is champion again"
    )
    assert "'vit' has no previous champion to return to" in refused("registry", "rollback")
    assert champion(client) == "1"
    marks = {str(one.version): one.tags.get("rolled_back", "") for one in client.search_model_versions("name = 'vit'")}
    assert (
        marks["3"].endswith(", no reason given") and marks["2"].endswith(", wrong on night frames") and not marks["1"]
    )
    assert "rolled back to version 1: wrong on night frames" in client.get_model_version("vit", "2").description
    moves = [(step.moved_by, step.version) for step in history(client.get_registered_model("vit"))]
    assert moves == [(GATE, "1"), (GATE, "2"), (GATE, "3"), (ROLLBACK, "2"), (ROLLBACK, "1")]


def test_what_was_rolled_back_returns_by_hand_with_its_reason_and_may_be_rolled_back_again(three, registry, client):
    registry("rollback")
    said = "was rolled back and returns only by hand: vit registry promote 3 --reason TEXT"
    assert publish(three[2], "vit").verdict == said and champion(client) == "2"
    assert registry("promote", "3", "--reason", "the camera was at fault") == (
        "version 3 of 'vit' is now champion; it replaces version 2\n"
    )
    version = client.get_model_version("vit", "3")
    assert version.tags["promoted_by_hand"] == "the camera was at fault" and "rolled_back" not in version.tags
    assert "Promoted by hand: the camera was at fault" in version.description
    assert publish(three[2], "vit").verdict == "is champion"
    registry("rollback")
    assert champion(client) == "2"


def test_a_refused_version_is_promoted_by_hand_and_a_rollback_returns_to_the_one_it_replaced(
    publisher, registry, client
):
    for number, right in ((1, 60), (2, 40)):
        publish(publisher.content(number, right), "vit")
    command, version = documented("vit registry promote").split("--reason")
    registry(*command.split()[2:3], "challenger", "--reason", version.strip(" '"))
    assert champion(client) == "2"
    registry("rollback")
    assert champion(client) == "1"


def test_rollback_knows_a_champion_that_was_set_by_other_means_and_passes_over_deleted_versions(
    three, registry, client
):
    set_champion_by_other_means(client, "1")
    registry("promote", "3", "--reason", "back")
    client.delete_model_version("vit", "2")
    registry("rollback")
    assert champion(client) == "1"
    moves = [(step.moved_by, step.version) for step in history(client.get_registered_model("vit"))]
    assert moves[3:] == [(FOUND, "1"), (BY_HAND, "3"), (ROLLBACK, "1")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote", "3", "--reason", "again"], "version 3 of 'vit' is already champion"),
        (["promote", "1", "--reason", " "], "--reason is empty"),
        (["promote", "best", "--reason", "x"], "'best' is neither a number nor an alias of 'vit' (challenger, champ"),
        (["promote", "9", "--reason", "x"], "version=9) not found; `vit registry list` shows"),
        (["diff", "1", "7"], "version=7) not found"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(three, publisher, registry, refused, arguments, message):
    registry("list")  # says on stderr that the repo, which is a copy, was moved
    before = all_that_is_kept(publisher.folder)
    assert message in refused("registry", *arguments)
    assert all_that_is_kept(publisher.folder) == before


def test_promote_without_a_reason_is_wrong_usage(vit):
    status, out, err = vit("registry", "promote", "1")
    assert (status, out) == (2, "") and "--reason" in err


def test_list_shows_aliases_accuracies_with_intervals_and_verdicts(three, registry, publisher):
    publish(publisher.content(4, right=91), "vit")
    registry("rollback", "--reason", "night")
    lines = registry(*documented("vit registry list").split()[2:]).splitlines()
    assert [text.split()[0] for text in lines] == ["version", "4", "3", "2", "1"]
    low, high = wilson(0.91, 100, 0.95)
    assert (
        f"challenger  0.9100 ({low:.4f} to {high:.4f})  0.5000 (0.4000 to 0.6000)  -      refused against 3: not"
        in lines[1]
    )
    assert "promoted against 2: better; rolled back" in lines[2] and lines[2].endswith("night")
    assert lines[3].split()[1] == "champion" and lines[4].endswith("promoted: first champion")
    listed = json.loads(registry("list", "--json"))
    assert [one["version"] for one in listed] == [4, 3, 2, 1]
    assert [one["aliases"] for one in listed] == [["challenger"], [], ["champion"], []]
    assert listed[0]["val_accuracy"] == {"value": 0.91, "low": pytest.approx(low), "high": pytest.approx(high)}
    assert listed[0]["test_accuracy"] == {"value": 0.5, "low": 0.4, "high": 0.6}
    assert listed[3] == listed[3] | {"verdict": "promoted: first champion"} and len(listed[3]) == 6


def test_diff_shows_what_differs_and_nothing_else(publisher, registry):
    publish(publisher.content(1, right=50), "vit")
    publish(publisher.content(2, right=60, depth=3), "vit")
    shown = registry(*documented("vit registry diff").split()[2:]).splitlines()
    assert shown[0] == "version 1 -> version 2 of 'vit'"
    assert [text.split() for text in shown[1:]] == [
        ["params"],
        ["model.depth", "2", "->", "3"],
        ["metrics"],
        ["best_val_accuracy", "0.5", "->", "0.6"],
        ["data"],
        ["train_sha256", "train", "1", "->", "train", "2"],
        ["val_sha256", "val", "1", "->", "val", "2"],
    ]
    assert json.loads(registry("diff", "1", "2", "--json")) == {
        "name": "vit",
        "versions": [1, 2],
        "params": {"model.depth": ["2", "3"]},
        "metrics": {"best_val_accuracy": ["0.5", "0.6"]},
        "data": {"train_sha256": ["train 1", "train 2"], "val_sha256": ["val 1", "val 2"]},
        "code": {},
    }
    assert registry("diff", "2", "challenger").splitlines()[1] == "no difference in params, metrics, data or code"


def test_wilson_s_interval_is_that_of_the_textbook():
    # 8 of 10 at 95 %: 0.4902 to 0.9433 (Agresti and Coull 1998, by hand: (0.8 + 0.19207) / 1.38415 -+ 0.22657).
    assert wilson(0.8, 10, 0.95) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def replayed(moves: list[tuple[str, int]]) -> list[str]:
    """The line of champions after moves, where a rollback goes to a random one of those before."""
    steps: list[Step] = []
    for moved_by, number in moves:
        before = line(steps)[:-1]
        key = before[number % len(before)] if moved_by == ROLLBACK and before else str(number)
        steps.append(Step(moved_by if before else GATE, key, key, "", ""))
    return line(steps)


@given(st.lists(st.tuples(st.sampled_from([GATE, BY_HAND, ROLLBACK, FOUND]), st.integers(0, 5))))
def test_the_line_of_champions_ends_with_the_last_that_was_made_one_and_a_rollback_only_shortens_it(moves):
    for count in range(1, len(moves) + 1):
        before, after = replayed(moves[: count - 1]), replayed(moves[:count])
        moved_by, number = moves[count - 1]
        if moved_by == ROLLBACK and len(before) > 1:
            assert after == before[: len(after)] and len(after) < len(before)
        elif moved_by in (GATE, BY_HAND):
            assert after == [*before, str(number)]
        else:
            assert after[-1] == str(number) and after[:-1] == before[: len(after) - 1]
