import numpy as np
import pytest

from tests.evaluation.predicted import predicted, settings, sure
from vit.data.manifest import Row
from vit.errors import UserError
from vit.evaluation.slices import question_rows, slice_rows, slice_values

CARTOON = ["jerry", "tom", "tom_jerry_0", "tom_jerry_1"]
TRAIN = [Row("tom/1.jpg", "tom", "block 1"), Row("tom/2.jpg", "tom", "block 1")]
TEST = [Row("tom/3.jpg", "tom", "block 2"), Row("jerry/4.jpg", "jerry", "block 3")]


def values(name, tables):
    return slice_values(name, TEST, TRAIN + TEST, tables)


def test_a_slice_is_a_column_of_the_split_or_of_a_table_or_a_list(tmp_path):
    (tmp_path / "light.csv").write_text("image,light\n1.jpg,day\n3.jpg,night\n")
    (tmp_path / "challenges.csv").write_text("folder,image_name\njerry,4.jpg\ntom,2.jpg\n")
    assert values("label", tmp_path) == ["tom", "jerry"]
    assert values("group", tmp_path) == ["block 2", "block 3"]
    assert values("light", tmp_path) == ["night", ""]
    assert values("challenges.csv", tmp_path) == ["not listed", "listed"]


def test_a_list_may_name_images_of_other_parts_alone(tmp_path):
    (tmp_path / "challenges.csv").write_text("folder,image_name\ntom,2.jpg\n")
    assert values("challenges.csv", tmp_path) == ["not listed", "not listed"]


def test_an_image_with_two_values_is_refused_by_its_path(tmp_path):
    (tmp_path / "light.csv").write_text("image,light\n3.jpg,night\ntom/3.jpg,day\n")
    with pytest.raises(UserError, match=r"evaluate\.slices 'light': the table has \['day', 'night'\] for 'tom/3\.jpg'"):
        values("light", tmp_path)


def test_each_value_has_its_images_their_accuracy_and_interval():
    probabilities = sure(np.array([0, 0, 0, 1, 1, 1, 1, 1]))
    predictions = predicted([0, 0, 0, 0, 1, 1, 1, 1], probabilities, ["a", "b", "c", "d", "e", "e", "e", "e"])
    rows = slice_rows(predictions, {"light": ["day"] * 4 + ["night"] * 4}, settings())
    assert [row["value"] for row in rows] == ["day", "night"] and {row["slice"] for row in rows} == {"light"}
    day, night = rows
    assert (day["images"], day["accuracy"]) == (4, 0.75)
    assert 0 <= day["low"] < 0.75 < day["high"] <= 1
    assert (night["accuracy"], night["low"], night["high"]) == (1.0, None, None)  # one group tells of itself alone


def test_the_images_of_the_slices_are_all_images_and_their_right_predictions_all_right_predictions():
    generator = np.random.default_rng(0)
    predictions = predicted(generator.integers(0, 3, 200), sure(generator.integers(0, 3, 200)), np.arange(200) % 20)
    slices = {"parity": [str(index % 2) for index in range(200)], "label": [row.label for row in predictions.rows]}
    rows = slice_rows(predictions, slices, settings())
    for name in slices:
        ours = [row for row in rows if row["slice"] == name]
        assert sum(row["images"] for row in ours) == 200
        assert sum(row["images"] * row["accuracy"] for row in ours) == pytest.approx(predictions.correct.sum())


def test_a_question_is_decided_by_the_sum_of_its_classes_and_not_by_the_likeliest_one():
    # The likeliest class of the first image is tom_jerry_0, but 0.3 + 0.3 of it say that Tom is there.
    probabilities = np.array([[0.0, 0.3, 0.4, 0.3], [0.6, 0.2, 0.2, 0.0], [0.1, 0.2, 0.6, 0.1], [0.0, 0.6, 0.4, 0.0]])
    predictions = predicted([1, 3, 2, 2], probabilities, classes=CARTOON)
    asked = settings(questions={"tom": ["tom", "tom_jerry_1"], "jerry": ["jerry", "tom_jerry_1"]})
    tom, jerry = question_rows(predictions, asked)
    # Tom is in images 0 and 1; the predictions are yes, no, no, yes.
    assert (tom["question"], tom["images"], tom["yes"], tom["majority"], tom["accuracy"]) == ("tom", 4, 0.5, 0.5, 0.5)
    assert (tom["precision"], tom["recall"], tom["f1"]) == (0.5, 0.5, 0.5)
    assert 0 <= tom["low"] < 0.5 < tom["high"] <= 1
    # Jerry is in image 1 alone, and found there alone.
    assert (jerry["yes"], jerry["majority"], jerry["accuracy"], jerry["f1"]) == (0.25, 0.75, 1.0, 1.0)


def test_without_questions_there_are_no_rows_and_an_unknown_class_is_named():
    predictions = predicted([0, 1], sure(np.array([0, 1])))
    assert question_rows(predictions, settings()) == []
    with pytest.raises(UserError, match=r"evaluate\.questions: 'pet' names 'hamster', .*\['cat', 'dog', 'été'\]"):
        question_rows(predictions, settings(questions={"pet": ["cat", "hamster"]}))
