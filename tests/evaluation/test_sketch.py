"""Scores of a sketch against values computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit.evaluation.sketch import centre_guess, coverage, painted, region, score, scores
from vit.evaluation.sketch_rounds import games, keep_round, rounds

TRUTH = np.array([[4.0, 3.0], [2.0, 1.0]])


def test_a_dot_and_a_line_cover_the_pixels_within_their_radius():
    dot = painted([{"radius": 1.0, "points": [[2, 2]]}], 4, 4)
    assert dot.astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    line = painted([{"radius": 0.5, "points": [[0.5, 1.5], [3.5, 1.5]]}], 4, 4)
    assert line.astype(int).tolist() == [[0] * 4, [1] * 4, [0] * 4, [0] * 4]
    both = painted([{"radius": 1.0, "points": [[2, 2]]}, {"radius": 0.5, "points": [[0.5, 0.5]]}], 4, 4)
    assert both.sum() == 5 and painted([], 4, 4).sum() == 0


def test_coverage_is_the_share_of_each_patch():
    mask = np.zeros((4, 4), dtype=bool)
    mask[0, :3] = True
    assert coverage(mask, (2, 2)).tolist() == [[0.5, 0.25], [0, 0]]


def test_the_region_takes_the_highest_patches_first_and_shares_ties():
    assert region(TRUTH, 1.5).tolist() == [[1, 0.5], [0, 0]]
    assert region(np.ones((2, 2)), 1).tolist() == [[0.25] * 2] * 2
    assert region(np.array([[5.0, 1.0], [1.0, 0.0]]), 2).tolist() == [[1, 0.5], [0.5, 0]]


def test_scores_by_hand():
    sketch = np.array([[1.0, 0.0], [1.0, 0.0]])  # left half; the model looked at the top half
    found = scores(sketch, TRUTH, average=np.array([[0.0, 9.0], [1.0, 2.0]]))
    # regions of 2 patches: left against top share one of three; ranks 3.5 1.5 3.5 1.5 against 4 3 2 1
    assert found["you"].iou == pytest.approx(1 / 3) and found["you"].pointing == 1
    assert found["you"].rank == pytest.approx((2 * (4 + 2) - 2 * (3 + 1)) / 2 / np.sqrt(4 * 5))
    # uniform: half of every patch; minima .5 + .5, maxima 1 + 1 + .5 + .5
    assert found["uniform"] == pytest.approx((1 / 3, 0.5, 0))
    # centre: all four are equally far from the middle
    assert found["centre"] == pytest.approx((1 / 3, 0.5, 0))
    # average map: right half, so one of three, and the peak is missed
    assert found["average map"].iou == pytest.approx(1 / 3) and found["average map"].pointing == 0


def test_a_perfect_sketch_scores_one_and_its_opposite_minus_one():
    assert score(TRUTH, TRUTH, 1.3) == pytest.approx((1, 1, 1))
    assert score(-TRUTH, TRUTH, 1).rank == pytest.approx(-1) and score(-TRUTH, TRUTH, 1).iou == 0


def test_an_empty_sketch_wins_nothing():
    assert score(np.zeros((2, 2)), TRUTH, 0) == (0, 0, 0)


def test_painting_everything_wins_no_more_than_a_uniform_guess():
    found = scores(np.ones((2, 2)), TRUTH, None)
    assert found["you"] == found["uniform"] == (1, 1, 0) and "average map" not in found


def test_the_centre_guess_is_highest_in_the_middle():
    guess = centre_guess((3, 5))
    assert guess.argmax() == 7 and guess[0, 0] == guess[2, 4] == guess.min()


maps = st.lists(st.floats(0, 1), min_size=6, max_size=6).map(lambda values: np.array(values).reshape(2, 3))


@settings(max_examples=100, deadline=None)
@given(guess=maps, truth=maps, area=st.floats(0.01, 6))
def test_regions_have_the_area_and_scores_their_range(guess, truth, area):
    assert region(guess, area).sum() == pytest.approx(area)
    found = score(guess, truth, area)
    assert -1e-9 <= found.iou <= 1 + 1e-9 and -1e-9 <= found.pointing <= 1 + 1e-9 and abs(found.rank) <= 1 + 1e-9


def test_rounds_are_kept_and_ten_make_a_game(tmp_path):
    path, sketch = tmp_path / "studio" / "sketches.csv", np.array([[1.0, 0.0], [1.0, 0.0]])
    assert rounds(path) == []
    for _ in range(11):
        keep_round(path, "abc", 'a, "b".png', 0.5, scores(sketch, TRUTH, None))
    played = rounds(path)
    assert len(played) == 11 and played[0]["image"] == 'a, "b".png' and played[0]["average_iou"] == ""
    first, second = games(played)
    assert (first["rounds"], second["rounds"]) == (10, 1)
    assert first["you"] == pytest.approx(1 / 3, abs=1e-4) and first["uniform"] == pytest.approx(1 / 3, abs=1e-4)
