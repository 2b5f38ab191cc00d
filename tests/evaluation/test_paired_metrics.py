import numpy as np
import pytest

from vit.evaluation.paired import mcnemar, paired_bootstrap
from vit.evaluation.paired_metrics import compare_by

CLASSES = ["cat", "dog", "hen"]


def table(labels: list[str], right: np.ndarray, confidence: float = 0.8) -> list[dict]:
    """Rows that predict the label where `right`, else the class after it, as a CSV has them: all text."""
    rows = []
    for label, is_right in zip(labels, right, strict=True):
        best = label if is_right else CLASSES[(CLASSES.index(label) + 1) % 3]
        rows.append({f"p_{name}": str(confidence if name == best else (1 - confidence) / 2) for name in CLASSES})
    return rows


@pytest.fixture
def drawn() -> tuple[list[str], np.ndarray, np.ndarray]:
    """200 labels, and which of them either model gets right: b is better in 6 of 100."""
    generator = np.random.default_rng(0)
    labels = [CLASSES[index] for index in generator.choice(3, size=200, p=[0.7, 0.2, 0.1])]
    right_a = generator.random(200) < 0.7
    return labels, right_a, right_a ^ (generator.random(200) < np.where(right_a, 0.06, 0.2))


@pytest.mark.parametrize("in_group", [1, 4])
def test_by_accuracy_the_interval_is_that_of_the_paired_bootstrap_and_p_that_of_mcnemar(drawn, in_group):
    labels, right_a, right_b = drawn
    groups = np.arange(200) // in_group
    found = compare_by("accuracy", labels, (table(labels, right_a), table(labels, right_b)), groups, 0.95, seed=0)
    expected = paired_bootstrap(right_a, right_b, groups, 0.95, seed=0)
    assert (found.difference, found.low, found.high) == pytest.approx(expected)
    assert (found.score_a, found.score_b) == (right_a.mean(), right_b.mean())
    if in_group == 1:
        assert found.p == pytest.approx(mcnemar(right_a, right_b), abs=0.02)  # 2,000 draws: 0.01 is one deviation


def test_two_models_that_predict_alike_differ_by_nothing(drawn):
    labels, right, _ = drawn
    for metric in ("balanced_accuracy", "macro_f1", "log_loss"):
        found = compare_by(metric, labels, (table(labels, right), table(labels, right)), np.arange(200), 0.95, 0)
        assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_lower_log_loss_is_better_and_exchanging_the_models_turns_the_difference_round(drawn):
    labels, right, _ = drawn
    unsure, sure = table(labels, right, 0.4), table(labels, right, 0.7)
    found, turned = (
        compare_by("log_loss", labels, both, np.arange(200), 0.95, 0) for both in ((unsure, sure), (sure, unsure))
    )
    # Right: ln .4 and ln .7; wrong: ln .3 and ln .15.
    share = right.mean()
    assert found.score_a == pytest.approx(-share * np.log(0.4) - (1 - share) * np.log(0.3))
    assert found.difference == pytest.approx(found.score_a - found.score_b) and found.difference > 0
    assert found.low > 0 and found.p < 0.01
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-found.difference, -found.high, -found.low))


def test_the_rarer_class_decides_by_balanced_accuracy_what_the_frequent_one_decides_by_accuracy():
    labels = ["cat"] * 90 + ["dog"] * 10
    only_cats, both = np.arange(100) < 90, (np.arange(100) >= 15)
    tables = table(labels, only_cats), table(labels, both)
    by_accuracy, balanced = (
        compare_by(metric, labels, tables, np.arange(100), 0.95, 0) for metric in ("accuracy", "balanced_accuracy")
    )
    assert by_accuracy.difference == pytest.approx(-0.05) and by_accuracy.low < 0
    assert balanced.difference == pytest.approx((75 / 90 + 1) / 2 - 0.5)
    assert balanced.low > 0 and balanced.p < 0.02


def test_frames_of_few_shots_prove_less_and_those_of_one_shot_nothing(drawn):
    labels = drawn[0]
    worse, better = np.arange(200) % 10 < 5, np.arange(200) % 10 < 8
    tables = table(labels, worse), table(labels, better)
    apart, shots, one = (
        compare_by("macro_f1", labels, tables, groups, 0.95, 0)
        for groups in (np.arange(200), np.arange(200) // 50, np.zeros(200))
    )
    assert apart.p < 0.01
    assert shots.p == pytest.approx(2 / 2**4, abs=0.03)  # of 16 ways to exchange 4 shots, all and none are as extreme
    assert (one.low, one.high, one.p) == (-1.0, 1.0, 1.0)
    loss = compare_by("log_loss", labels, tables, np.zeros(200), 0.95, 0)
    assert loss.high == -loss.low > 27
