import warnings

import numpy as np
import pytest

from tests.evaluation.predicted import CLASSES, EIGHT, predicted, sure
from vit.data.manifest import Row
from vit.evaluation.predictions import Predictions
from vit.evaluation.tables import confusion, confusion_rows, per_class, prediction_rows, rates


def test_figures_of_each_class_are_those_counted_by_hand():
    rows = per_class(EIGHT)
    # cat: 2 of 3 predictions right, 2 of 3 found. dog: 3 of 5 right, 3 of 3 found; F1 = 2 * 0.6 * 1 / 1.6.
    assert rows[0] == pytest.approx({"class": "cat", "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "images": 3})
    assert rows[1] == pytest.approx({"class": "dog", "precision": 0.6, "recall": 1.0, "f1": 0.75, "images": 3})
    assert [row["class"] for row in rows] == CLASSES


def test_a_class_that_is_never_predicted_scores_0_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = per_class(EIGHT)
    assert rows[2] == {"class": "été", "precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 2}


def test_a_class_without_images_scores_0_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = per_class(predicted([0, 1], sure(np.array([0, 1]))))
    assert rows[2] == {"class": "été", "precision": 0.0, "recall": 0.0, "f1": 0.0, "images": 0}


def test_confusion_has_a_row_per_true_class_and_a_column_per_predicted_one():
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


def test_a_row_of_predictions_tells_path_truth_group_prediction_and_every_probability():
    probabilities = np.array([[0.25, 0.5, 0.25], [0.75, 0.125, 0.125]], dtype=np.float32)
    images = [Row("dog/1, old.png", "dog", "night"), Row("été/2.png", "été", "été/2.png")]
    assert prediction_rows(Predictions(images, np.array([1, 2]), probabilities, probabilities, CLASSES)) == [
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
        prediction_rows(
            Predictions([Row("cat/a.png", "cat", "")], np.array([0]), probabilities, probabilities, CLASSES)
        )
