import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binomtest

from vit.evaluation.paired import mcnemar, paired_bootstrap


def pair(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images each of two models gets right, by how many of them both, one or neither does."""
    counts = [both, only_a, only_b, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 5), (3, 3), (4, 12), (30, 20), (700, 640)])
def test_mcnemars_p_is_that_of_the_two_sided_binomial_test(only_a, only_b):
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(*pair(50, only_a, only_b, 7)) == pytest.approx(expected, rel=1e-9)


def test_mcnemars_p_is_that_counted_by_hand_and_knows_no_order():
    # One of five falls to a: 2 * (1 + 5) / 32.
    a, b = pair(10, 1, 4, 10)
    assert mcnemar(a, b) == mcnemar(b, a) == 0.375


def test_the_difference_is_b_minus_a_and_lies_inside_its_interval():
    a, b = pair(60, 5, 15, 20)
    difference, low, high = paired_bootstrap(a, b, None, 0.95, seed=0)
    assert difference == pytest.approx(0.1)
    # Normal approximation: 0.1 -+ 1.96 * sqrt(0.2 - 0.1**2) / 10 = 0.1 -+ 0.0854.
    assert (low, high) == pytest.approx((0.0146, 0.1854), abs=0.012)
    turned = paired_bootstrap(b, a, None, 0.95, seed=0)
    assert turned == pytest.approx((-difference, -high, -low))


def test_a_seed_gives_one_answer_and_another_seed_another():
    a, b = pair(60, 5, 15, 20)
    groups = np.arange(100) % 13
    first, again, other = (paired_bootstrap(a, b, groups, 0.95, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_what_one_group_decides_is_wider_than_what_its_images_would():
    a, b = pair(600, 50, 150, 200)
    groups = np.arange(1000) // 50
    _, low, high = paired_bootstrap(a, b, groups, 0.95, seed=0)
    _, alone_low, alone_high = paired_bootstrap(a, b, None, 0.95, seed=0)
    assert high - low > 3 * (alone_high - alone_low)


def test_names_of_groups_serve_as_well_as_numbers_in_any_order():
    a, b = pair(30, 5, 9, 6)
    numbers = np.arange(50) % 7
    names = np.array([f"block {number}" for number in numbers])
    shuffled = np.random.default_rng(0).permutation(50)
    expected = paired_bootstrap(a, b, numbers, 0.9, seed=3)
    assert paired_bootstrap(a, b, names, 0.9, seed=3) == expected
    assert paired_bootstrap(a[shuffled], b[shuffled], names[shuffled], 0.9, seed=3) == expected


def test_of_one_group_nothing_is_known():
    a, b = pair(5, 0, 5, 0)
    assert paired_bootstrap(a, b, np.zeros(10), 0.95, seed=0) == (0.5, -1.0, 1.0)


def test_models_that_are_right_on_the_same_images_do_not_differ():
    a, b = pair(5, 0, 0, 5)
    assert paired_bootstrap(a, b, None, 0.95, seed=0) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("groups", [8, 100])
def test_nine_of_ten_intervals_hold_the_true_difference_also_with_few_groups_of_correlated_images(groups):
    # Per group, each model's share of right predictions is drawn about 0.6 and 0.7: the true difference is 0.1.
    generator = np.random.default_rng(5)
    held, trials = 0, 300
    for trial in range(trials):
        shares = generator.beta([3, 3.5], [2, 1.5], size=(groups, 2))
        a, b = (generator.random((2, groups, 20)) < shares.T[:, :, None]).reshape(2, -1)
        _, low, high = paired_bootstrap(a, b, np.repeat(np.arange(groups), 20), 0.9, seed=trial)
        held += low <= 0.1 <= high
    # 0.9 +- 0.052 is three standard errors of 300 trials.
    assert held / trials == pytest.approx(0.9, abs=0.055)


def test_the_statistics_need_neither_torch_nor_mlflow():
    check = (
        "import sys, vit.evaluation.paired; print(sorted({'torch', 'mlflow', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "[]\n"
