"""The tests of drift: their statistics are scipy's, and they alarm as often as they say."""

import numpy as np
import pytest
from scipy import stats

from tests.monitoring.made import sample
from vit.monitoring.drift import (
    FIGURES,
    _Blocks,
    _both,
    _energy,
    _kolmogorov_smirnov,
    _shares,
    compare,
    holm,
    smallest_p,
)

RATE = 0.1


def alarm_count(size: int, alike: float, as_blocks: bool, windows: int, shift: float = 0.0) -> int:
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(windows):
        live, val = sample(random, 12, size, shift, alike), sample(random, 14, size, alike=alike)
        if not as_blocks:
            live.block[:], val.block[:] = np.arange(len(live.label)), np.arange(len(val.label))
        alarms += any(found.adjusted <= RATE for found in compare(live, val, RATE).values())
    return alarms


@pytest.mark.parametrize(("size", "alike"), [(1, 0.0), (6, 0.7)])
def test_windows_without_drift_alarm_no_more_often_than_stated(size, alike):
    windows = 40
    assert alarm_count(size, alike, as_blocks=True, windows=windows) <= stats.binom.ppf(0.99, windows, RATE)


def test_neighbours_that_are_alike_would_alarm_far_more_often_if_they_were_taken_one_by_one():
    assert alarm_count(6, 0.7, as_blocks=False, windows=8) > stats.binom.ppf(0.9999, 8, RATE)


def test_a_window_that_drifted_alarms_in_what_moved_only():
    random = np.random.default_rng(0)
    live, val = sample(random, 40), sample(random, 50)
    live.figures["brightness"][:] += 1.5
    found = compare(live, val, 0.01)
    assert [name for name in FIGURES if found[name].adjusted <= 0.01] == ["brightness"]
    assert found["size"].p == 1 and found["size"].distance == 0  # all images are of one size


def test_the_statistics_are_those_of_scipy():
    random = np.random.default_rng(0)
    live, val = sample(random, 30, shift=0.5), sample(random, 50)
    blocks = _Blocks(live, val)
    weights = blocks.weights(np.arange(30))

    values = _both(live.figures["confidence"], val.figures["confidence"])
    statistic, _ = _kolmogorov_smirnov(blocks, values)
    assert statistic(weights) == pytest.approx(stats.ks_2samp(values[:30], values[30:]).statistic)

    statistic, scale = _energy(blocks, values[:, None])
    expected = stats.energy_distance(values[:30], values[30:]) ** 2
    assert statistic(weights) == pytest.approx(expected) and 0 < statistic(weights) / scale < 1

    is_class = _both(live.label, val.label)[:, None] == np.array(["cat", "dog"])
    statistic, _ = _shares(blocks, is_class)
    counts = [is_class[:30].sum(axis=0), is_class[30:].sum(axis=0)]
    assert statistic(weights) * 30 * 50 / 80 == pytest.approx(stats.chi2_contingency(counts, correction=False)[0])


def test_the_p_value_of_independent_predictions_is_near_the_one_of_theory():
    random = np.random.default_rng(3)
    live, val = sample(random, 80, shift=0.3), sample(random, 90)
    values = live.figures["confidence"], val.figures["confidence"]
    assert compare(live, val, 0.01)["confidence"].p == pytest.approx(stats.ks_2samp(*values).pvalue, abs=0.02)


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])


def test_few_blocks_cannot_show_a_small_p():
    assert smallest_p(2, 3) == 1 / 10
    random = np.random.default_rng(0)
    far = compare(sample(random, 2, 20, shift=9), sample(random, 3, 20), 0.01)
    assert far["embedding"].p == pytest.approx(1 / 10)
