import logging
import math

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, log_loss
from sklearn.metrics import top_k_accuracy_score as sklearn_top_k

from tests.evaluation.predicted import EIGHT, LABELS, PREDICTIONS, predicted, settings, sure
from vit.evaluation.metrics import METRICS, Kind, Metric, headline
from vit.evaluation.predictions import Predictions
from vit.evaluation.tables import prediction_rows


def random_predictions(count: int = 400, classes: int = 6, seed: int = 0, sharpness: float = 2.0) -> Predictions:
    """Predictions that are right more often than chance, in 40 groups."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    logits = generator.normal(size=(count, classes)) * sharpness
    logits[np.arange(count), labels] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = [f"class {index}" for index in range(classes)]
    return predicted(labels, probabilities.astype(np.float32), np.arange(count) % 40, names)


def test_accuracy_and_loss_are_those_computed_by_hand():
    scores = headline(EIGHT, settings())
    assert scores["test_accuracy"] == 5 / 8
    # Five times -ln(0.8), three times -ln(0.1).
    assert scores["test_loss"] == pytest.approx((5 * -math.log(0.8) + 3 * -math.log(0.1)) / 8, rel=1e-6)


def test_balanced_accuracy_macro_f1_brier_and_ece_are_those_computed_by_hand():
    scores = headline(EIGHT, settings())
    assert scores["test_balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scores["test_macro_f1"] == pytest.approx((2 / 3 + 0.75 + 0) / 3)
    # Right: 0.2^2 + 2 * 0.1^2 = 0.06; wrong: 0.8^2 + 0.9^2 + 0.1^2 = 1.46.
    assert scores["test_brier"] == pytest.approx((5 * 0.06 + 3 * 1.46) / 8, rel=1e-6)
    assert scores["test_ece"] == pytest.approx(0.8 - 5 / 8, rel=1e-6)  # one bin holds them all


@pytest.mark.parametrize("seed", [0, 1])
def test_the_figures_are_scikit_learns(seed):
    predictions = random_predictions(seed=seed)
    labels, predicted_labels, probabilities = (
        predictions.labels,
        predictions.predicted_labels,
        predictions.probabilities,
    )
    scores = headline(predictions, settings(top_k=3))
    assert scores["test_accuracy"] == accuracy_score(labels, predicted_labels)
    assert scores["test_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted_labels))
    assert scores["test_macro_f1"] == pytest.approx(f1_score(labels, predicted_labels, average="macro"))
    assert scores["test_top_k_accuracy"] == sklearn_top_k(labels, probabilities, k=3)
    shares = probabilities.astype(np.float64) / probabilities.sum(axis=1, dtype=np.float64, keepdims=True)
    assert scores["test_loss"] == pytest.approx(log_loss(labels, shares), rel=1e-6)
    assert scores["test_brier"] == pytest.approx(brier_score_loss(labels, shares, scale_by_half=False), rel=1e-5)


def test_classes_that_do_not_occur_weigh_nothing_as_in_scikit_learn():
    # été neither occurs nor is predicted; dog is predicted without occurring.
    predictions = predicted([0, 0, 0], sure(np.array([0, 0, 1])))
    scores = headline(predictions, settings())
    assert scores["test_balanced_accuracy"] == pytest.approx(2 / 3)
    assert scores["test_macro_f1"] == pytest.approx(f1_score([0, 0, 0], [0, 0, 1], average="macro"))


def test_the_calibration_error_is_that_of_bins_by_hand_before_and_after_the_temperature():
    # Confidences 0.55 right, 0.6 wrong (in the bin up to 0.6, which is closed above), 0.95 right, 1.0 right.
    after = np.array([[0.55, 0.45], [0.6, 0.4], [0.05, 0.95], [0.0, 1.0]])
    predictions = predicted([0, 1, 1, 1], after, classes=["a", "b"], uncalibrated=np.full((4, 2), 0.5))
    scores = headline(predictions, settings(ece_bins=10))
    assert scores["test_ece"] == pytest.approx((abs(1.15 - 1) + abs(1.95 - 2)) / 4)
    # All predict a at 0.5, and one of four is right.
    assert scores["test_ece_uncalibrated"] == pytest.approx(0.25)


def test_equal_probabilities_rank_in_the_order_of_the_classes_so_that_top_1_is_the_accuracy():
    predictions = predicted([0, 1, 2], np.full((3, 3), 1 / 3))
    assert headline(predictions, settings(top_k=1))["test_top_k_accuracy"] == 1 / 3 == predictions.correct.mean()
    assert headline(predictions, settings(top_k=2))["test_top_k_accuracy"] == 2 / 3


def test_top_k_of_all_classes_is_left_out():
    assert "test_top_k_accuracy" not in headline(EIGHT, settings(top_k=3))


def test_every_headline_figure_lies_inside_its_interval_but_for_the_calibration_error():
    scores = headline(random_predictions(), settings())
    names = [name.removesuffix("_low") for name in scores if name.endswith("_low")]
    assert names == [f"test_{metric.name}" for metric in METRICS]
    for name in names:
        assert scores[f"{name}_low"] < scores[f"{name}_high"], name
        if not name.startswith("test_ece"):  # resamples add noise to each bin, and noise only adds to the error
            assert scores[f"{name}_low"] < scores[name] < scores[f"{name}_high"], name


def test_a_higher_level_gives_a_wider_interval_and_a_seed_always_the_same():
    narrow, wide, again = (headline(EIGHT, settings(confidence_level=level)) for level in (0.5, 0.99, 0.99))
    assert wide["test_accuracy_low"] < narrow["test_accuracy_low"] < 5 / 8
    assert 5 / 8 < narrow["test_accuracy_high"] < wide["test_accuracy_high"]
    assert wide == again


def test_without_groups_the_interval_of_the_accuracy_is_nearly_that_of_the_normal_approximation():
    predictions = predicted(np.zeros(900, dtype=int), sure(np.arange(900) % 3 // 2))
    scores = headline(predictions, settings())
    # Two of three right: 1.96 * sqrt(2 / 9 / 900) = 0.0308.
    assert scores["test_groups"] == 900
    assert scores["test_accuracy_low"] == pytest.approx(2 / 3 - 0.0308, abs=0.003)
    assert scores["test_accuracy_high"] == pytest.approx(2 / 3 + 0.0308, abs=0.003)


def test_images_that_are_wrong_together_give_a_wider_interval():
    predictions = np.repeat(np.arange(45) % 3 // 2, 20)
    alone, grouped = (
        headline(predicted(np.zeros(900, dtype=int), sure(predictions), groups), settings())
        for groups in (None, np.repeat(np.arange(45), 20))
    )
    assert grouped["test_groups"] == 45
    widths = [scores["test_accuracy_high"] - scores["test_accuracy_low"] for scores in (alone, grouped)]
    assert widths[1] == pytest.approx(widths[0] * math.sqrt(20), rel=0.1)  # 45 images in place of 900


def test_a_test_part_without_a_mistake_is_not_certain_to_stay_without():
    scores = headline(predicted(np.zeros(40, dtype=int), sure(np.zeros(40, dtype=int))), settings())
    assert scores["test_accuracy"] == scores["test_accuracy_high"] == 1.0
    assert scores["test_accuracy_low"] == pytest.approx(40 / (40 + 1.959964**2), rel=1e-6)  # Wilson's, of 40 of 40


def test_one_group_is_judged_image_by_image_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING, "vit"):
        scores = headline(predicted(LABELS, sure(PREDICTIONS), ["night"] * 8), settings())
    assert "in one group; intervals treat images as independent" in caplog.text
    assert scores == headline(EIGHT, settings())


def test_a_single_image_has_figures_and_the_accuracy_the_interval_of_one_trial():
    scores = headline(predicted([1], sure(np.array([1]))), settings())
    assert scores["test_accuracy"] == 1.0
    assert scores["test_accuracy_low"] == pytest.approx(1 / (1 + 1.959964**2), rel=1e-6)


def test_a_wrong_certainty_has_a_finite_loss():
    scores = headline(predicted([1, 1], np.array([[1.0, 0.0, 0.0]] * 2, dtype=np.float32)), settings())
    assert scores["test_loss"] == pytest.approx(-math.log(1e-12))


def test_the_prediction_of_a_row_is_the_one_that_the_accuracy_counts():
    predictions = random_predictions(count=50)
    right = sum(row["label"] == row["prediction"] for row in prediction_rows(predictions))
    assert right / 50 == headline(predictions, settings())["test_accuracy"]


def error_rate(kind: Kind) -> Metric:
    """A metric that the pipeline does not have, of columns that it does not have either."""
    return Metric(
        "error_rate",
        kind,
        "share of wrong predictions",
        (
            lambda predictions, settings: csr_array(
                np.stack([~predictions.correct, predictions.labels >= 0], axis=1).astype(float)
            ),
        ),
        lambda sums: sums[..., 0] / sums[..., 1],
    )


def test_an_entry_of_its_own_gives_a_metric_its_figure_and_its_interval():
    scores = headline(EIGHT, settings(), (*METRICS, error_rate(Kind.SHARE)))
    assert scores["test_error_rate"] == 3 / 8
    assert scores["test_error_rate_low"] == pytest.approx(1 - scores["test_accuracy_high"])
    assert scores["test_error_rate_high"] == pytest.approx(1 - scores["test_accuracy_low"])
    assert {name: score for name, score in scores.items() if "error_rate" not in name} == headline(EIGHT, settings())


def test_the_kind_of_a_metric_decides_whether_the_interval_of_a_faultless_model_is_widened():
    faultless = predicted(np.zeros(40, dtype=int), sure(np.zeros(40, dtype=int)))
    share, error = (headline(faultless, settings(), (error_rate(kind),)) for kind in (Kind.SHARE, Kind.ERROR))
    assert error["test_error_rate_high"] == 0.0
    assert share["test_error_rate_high"] == pytest.approx(1.959964**2 / (40 + 1.959964**2), rel=1e-6)


def test_a_metric_cannot_be_declared_without_its_kind():
    with pytest.raises(TypeError, match="kind"):
        Metric(name="error_rate", meaning="share of wrong predictions", columns=(), value=np.sum)
    assert all(isinstance(metric.kind, Kind) for metric in METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)
