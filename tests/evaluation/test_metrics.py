import logging
import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, log_loss
from sklearn.metrics import top_k_accuracy_score as sklearn_top_k

from tests.evaluation.answered import CLASSES, answered, settings, sure
from vit.data.manifest import Row
from vit.evaluation.metrics import confusion, confusion_rows, headline, per_class, prediction_rows, rates
from vit.evaluation.predictions import Answers

# Truth and answer of eight images; as truth-answer: cat-cat 2, cat-dog 1, dog-dog 3, été-cat 1, été-dog 1.
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
PREDICTIONS = np.array([0, 0, 1, 1, 1, 1, 0, 1])
EIGHT = answered(LABELS, sure(PREDICTIONS))


def random_answers(count: int = 400, classes: int = 6, seed: int = 0, sharpness: float = 2.0) -> Answers:
    """Answers that are right more often than chance, in 40 groups."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    logits = generator.normal(size=(count, classes)) * sharpness
    logits[np.arange(count), labels] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = [f"class {index}" for index in range(classes)]
    return answered(labels, probabilities.astype(np.float32), np.arange(count) % 40, names)


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
    answers = random_answers(seed=seed)
    labels, predictions, probabilities = answers.labels, answers.predictions, answers.probabilities
    scores = headline(answers, settings(top_k=3))
    assert scores["test_accuracy"] == accuracy_score(labels, predictions)
    assert scores["test_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predictions))
    assert scores["test_macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert scores["test_top_k_accuracy"] == sklearn_top_k(labels, probabilities, k=3)
    shares = probabilities.astype(np.float64) / probabilities.sum(axis=1, dtype=np.float64, keepdims=True)
    assert scores["test_loss"] == pytest.approx(log_loss(labels, shares), rel=1e-6)
    assert scores["test_brier"] == pytest.approx(brier_score_loss(labels, shares, scale_by_half=False), rel=1e-5)


def test_classes_that_do_not_occur_weigh_nothing_as_in_scikit_learn():
    # été neither occurs nor is answered; dog is answered without occurring.
    answers = answered([0, 0, 0], sure(np.array([0, 0, 1])))
    scores = headline(answers, settings())
    assert scores["test_balanced_accuracy"] == pytest.approx(2 / 3)
    assert scores["test_macro_f1"] == pytest.approx(f1_score([0, 0, 0], [0, 0, 1], average="macro"))


def test_the_calibration_error_is_that_of_bins_by_hand_before_and_after_the_temperature():
    # Confidences 0.55 right, 0.6 wrong (in the bin up to 0.6, which is closed above), 0.95 right, 1.0 right.
    after = np.array([[0.55, 0.45], [0.6, 0.4], [0.05, 0.95], [0.0, 1.0]])
    answers = answered([0, 1, 1, 1], after, classes=["a", "b"], uncalibrated=np.full((4, 2), 0.5))
    scores = headline(answers, settings(ece_bins=10))
    assert scores["test_ece"] == pytest.approx((abs(1.15 - 1) + abs(1.95 - 2)) / 4)
    # All answer a at 0.5, and one of four is right.
    assert scores["test_ece_uncalibrated"] == pytest.approx(0.25)


def test_equal_probabilities_rank_in_the_order_of_the_classes_so_that_top_1_is_the_accuracy():
    answers = answered([0, 1, 2], np.full((3, 3), 1 / 3))
    assert headline(answers, settings(top_k=1))["test_top_k_accuracy"] == 1 / 3 == answers.correct.mean()
    assert headline(answers, settings(top_k=2))["test_top_k_accuracy"] == 2 / 3


def test_top_k_of_all_classes_is_left_out():
    assert "test_top_k_accuracy" not in headline(EIGHT, settings(top_k=3))


def test_every_headline_figure_lies_inside_its_interval_but_for_the_calibration_error():
    scores = headline(random_answers(), settings())
    names = [name.removesuffix("_low") for name in scores if name.endswith("_low")]
    assert len(names) == 8
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
    answers = answered(np.zeros(900, dtype=int), sure(np.arange(900) % 3 // 2))
    scores = headline(answers, settings())
    # Two of three right: 1.96 * sqrt(2 / 9 / 900) = 0.0308.
    assert scores["test_groups"] == 900
    assert scores["test_accuracy_low"] == pytest.approx(2 / 3 - 0.0308, abs=0.003)
    assert scores["test_accuracy_high"] == pytest.approx(2 / 3 + 0.0308, abs=0.003)


def test_images_that_are_wrong_together_give_a_wider_interval():
    predictions = np.repeat(np.arange(45) % 3 // 2, 20)
    alone, grouped = (
        headline(answered(np.zeros(900, dtype=int), sure(predictions), groups), settings())
        for groups in (None, np.repeat(np.arange(45), 20))
    )
    assert grouped["test_groups"] == 45
    widths = [scores["test_accuracy_high"] - scores["test_accuracy_low"] for scores in (alone, grouped)]
    assert widths[1] == pytest.approx(widths[0] * math.sqrt(20), rel=0.1)  # 45 images in place of 900


def test_a_test_part_without_a_mistake_is_not_certain_to_stay_without():
    scores = headline(answered(np.zeros(40, dtype=int), sure(np.zeros(40, dtype=int))), settings())
    assert scores["test_accuracy"] == scores["test_accuracy_high"] == 1.0
    assert scores["test_accuracy_low"] == pytest.approx(40 / (40 + 1.959964**2), rel=1e-6)  # Wilson's, of 40 of 40


def test_one_group_is_judged_image_by_image_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING, "vit"):
        scores = headline(answered(LABELS, sure(PREDICTIONS), ["night"] * 8), settings())
    assert "of one group" in caplog.text
    assert scores == headline(EIGHT, settings())


def test_a_single_image_has_figures_and_the_accuracy_the_interval_of_one_trial():
    scores = headline(answered([1], sure(np.array([1]))), settings())
    assert scores["test_accuracy"] == 1.0
    assert scores["test_accuracy_low"] == pytest.approx(1 / (1 + 1.959964**2), rel=1e-6)


def test_a_wrong_certainty_has_a_finite_loss():
    scores = headline(answered([1, 1], np.array([[1.0, 0.0, 0.0]] * 2, dtype=np.float32)), settings())
    assert scores["test_loss"] == pytest.approx(-math.log(1e-12))


def test_figures_of_each_class_are_those_counted_by_hand():
    rows = per_class(EIGHT)
    # cat: 2 of 3 answers right, 2 of 3 found. dog: 3 of 5 right, 3 of 3 found; F1 = 2 * 0.6 * 1 / 1.6.
    assert rows[0] == pytest.approx({"class": "cat", "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "images": 3})
    assert rows[1] == pytest.approx({"class": "dog", "precision": 0.6, "recall": 1.0, "f1": 0.75, "images": 3})
    assert [row["class"] for row in rows] == CLASSES


def test_a_class_that_is_never_answered_scores_0_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = per_class(EIGHT)
    assert rows[2] == {"class": "été", "precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 2}


def test_a_class_without_images_scores_0_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = per_class(answered([0, 1], sure(np.array([0, 1]))))
    assert rows[2] == {"class": "été", "precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 0}


def test_confusion_has_a_row_per_truth_and_a_column_per_answer():
    assert confusion(EIGHT).tolist() == [[2, 1, 0], [0, 3, 0], [1, 1, 0]]


def test_rates_are_shares_of_the_true_class_and_zeros_where_it_has_no_image():
    assert rates(np.array([[3, 1], [0, 0]])).tolist() == [[0.75, 0.25], [0, 0]]


def test_confusion_rows_carry_the_names_on_both_sides():
    assert confusion_rows(confusion(EIGHT), CLASSES) == [
        {"": "cat", "cat": 2, "dog": 1, "été": 0},
        {"": "dog", "cat": 0, "dog": 3, "été": 0},
        {"": "été", "cat": 1, "dog": 1, "été": 0},
    ]


def test_a_class_called_true_does_not_displace_the_names_of_the_rows():
    rows = confusion_rows(np.array([[7, 1], [2, 5]]), ["false", "true"])
    assert [len(row) for row in rows] == [3, 3]
    assert [list(row.values()) for row in rows] == [["false", 7, 1], ["true", 2, 5]]


def test_a_row_of_predictions_tells_path_truth_group_answer_and_every_probability():
    probabilities = np.array([[0.25, 0.5, 0.25], [0.75, 0.125, 0.125]], dtype=np.float32)
    images = [Row("dog/1, old.png", "dog", "night"), Row("été/2.png", "été", "été/2.png")]
    assert prediction_rows(Answers(images, np.array([1, 2]), probabilities, probabilities, CLASSES)) == [
        {
            "path": "dog/1, old.png",
            "label": "dog",
            "group": "night",
            "prediction": "dog",
            "confidence": 0.5,
            "p_cat": 0.25,
            "p_dog": 0.5,
            "p_été": 0.25,
        },
        {
            "path": "été/2.png",
            "label": "été",
            "group": "été/2.png",
            "prediction": "cat",
            "confidence": 0.75,
            "p_cat": 0.75,
            "p_dog": 0.125,
            "p_été": 0.125,
        },
    ]


def test_predictions_must_be_as_many_as_images():
    probabilities = sure(np.array([0, 1]))
    with pytest.raises(ValueError, match="zip"):
        prediction_rows(Answers([Row("cat/a.png", "cat", "")], np.array([0]), probabilities, probabilities, CLASSES))


def test_the_answer_of_a_row_is_the_one_that_the_accuracy_counts():
    answers = random_answers(count=50)
    right = sum(row["label"] == row["prediction"] for row in prediction_rows(answers))
    assert right / 50 == headline(answers, settings())["test_accuracy"]
