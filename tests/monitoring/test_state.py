"""Waiting after turns that failed."""

import pytest

from vit.monitoring.state import LONGEST_WAIT, Failure, State, failed_again, read_state, write_state


def test_each_failure_of_the_same_work_doubles_the_wait_up_to_a_day_and_other_work_begins_anew():
    waits, failure = [], None
    for turn in range(12):
        failure = failed_again(failure, float(turn), "a", "no")
        waits.append(failure.wait)
    assert waits[:4] == [300, 600, 1200, 2400] and waits[-1] == LONGEST_WAIT
    assert failed_again(failure, 20.0, "b", "no").wait == 300


@pytest.mark.parametrize(("now", "left"), [(1000, 300), (1299, 1), (1300, 0), (999, 0), (-50_000, 0), (10**9, 0)])
def test_the_wait_ends_by_the_clock_and_at_once_if_that_was_set_back(now, left):
    assert Failure(1, 1000.0, "a", "no").remaining(now) == left


def test_the_state_comes_back_as_it_was_and_a_damaged_one_is_as_none(tmp_path):
    path = tmp_path / "state.json"
    assert read_state(path) == State()
    state = State(Failure(2, 3.5, None, "the store is away"), "version 3")
    write_state(path, state)
    assert read_state(path) == state
    for damaged in ("", "{", "[]", '{"failure": {"count": 1}, "last": null}', '{"last": 1}'):
        path.write_text(damaged)
        assert read_state(path) == State()
