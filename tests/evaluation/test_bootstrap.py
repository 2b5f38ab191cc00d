import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import norm, t

from vit.evaluation.bootstrap import (
    RESAMPLES,
    group_numbers,
    percentiles,
    resampled_totals,
    resampled_weights,
    share_interval,
    widened,
)


def test_each_resample_draws_as_many_groups_as_there_are_and_each_group_once_on_average():
    weights = np.concatenate(list(resampled_weights(50, seed=0)))
    assert weights.shape == (RESAMPLES, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.05)  # of a multinomial count


def test_pieces_of_the_resamples_keep_to_a_size_and_to_their_number():
    pieces = list(resampled_weights(3_000, seed=1))
    assert sum(len(piece) for piece in pieces) == RESAMPLES and len(pieces) > 1
    assert max(piece.size for piece in pieces) <= 4_000_000
    assert len({piece.tobytes() for piece in pieces}) == len(pieces)


def test_names_become_numbers_whatever_their_order():
    assert group_numbers(np.array(["b", "a", "b", "c"])).tolist() == [1, 0, 1, 2]


def test_totals_are_the_groups_sums_times_how_often_they_were_drawn_dense_or_sparse():
    sums = np.arange(12.0).reshape(4, 3)
    totals = resampled_totals({"dense": sums, "sparse": csr_array(sums)}, seed=2)
    expected = np.concatenate(list(resampled_weights(4, seed=2))) @ sums
    assert np.array_equal(totals["dense"], expected) and np.array_equal(totals["sparse"], expected)


@pytest.mark.parametrize(("groups", "confidence"), [(5, 0.95), (12, 0.9), (1000, 0.95)])
def test_percentiles_are_expanded_as_hesterberg_has_them(groups, confidence):
    # Of evenly spaced replicates in [0, 1] a percentile is its own value.
    low, high = percentiles(np.linspace(0, 1, 100_001), groups, confidence)
    expanded = norm.cdf(np.sqrt(groups / (groups - 1)) * t.ppf((1 - confidence) / 2, groups - 1))
    assert (low, high) == pytest.approx((expanded, 1 - expanded), abs=1e-5)
    assert low <= (1 - confidence) / 2


@pytest.mark.parametrize(
    ("correct", "groups", "confidence", "low"),
    [(10, 10, 0.95, 0.722467), (100, 100, 0.95, 0.963007), (10, 10, 0.9, 0.787057)],
)
def test_a_share_of_all_or_none_has_wilsons_interval(correct, groups, confidence, low):
    # n / (n + z^2): 10 / 13.8415, 100 / 103.8415; z = 1.644854: 10 / 12.7055.
    assert widened(1.0, 1.0, 1.0, groups, confidence) == pytest.approx((low, 1.0), abs=2e-6)
    assert widened(0.0, 0.0, 0.0, groups, confidence) == pytest.approx((0.0, 1 - low), abs=2e-6)
    assert widened(0.5, 0.25, 0.75, groups, confidence) == (0.25, 0.75)
    assert share_interval(np.ones(correct, dtype=bool), np.arange(correct), confidence, 0)[0] == pytest.approx(
        low, abs=2e-6
    )


def test_the_share_of_one_group_has_no_interval():
    assert share_interval(np.array([True, False]), np.array(["a", "a"]), 0.95, 0) == (None, None)


@pytest.mark.parametrize(("groups", "size"), [(7, 150), (100, 1)])
def test_nine_of_ten_intervals_hold_the_true_share(groups, size):
    # A group's share of right predictions is drawn about 0.6: within a group images are alike.
    generator = np.random.default_rng(3)
    names = np.repeat(np.arange(groups), size)
    held, trials = 0, 300
    for trial in range(trials):
        correct = generator.random(groups * size) < np.repeat(generator.beta(6, 4, groups), size)
        low, high = share_interval(correct, names, 0.9, seed=trial)
        held += low <= 0.6 <= high
    # Three standard errors of 300 trials are 0.052. Percentiles that are not expanded hold 85 % for 7 groups.
    assert held / trials == pytest.approx(0.9, abs=0.055)
