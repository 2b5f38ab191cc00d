"""Two runs on the same test images: counts, interval and verdict, and what is refused."""

import pytest

from vit.errors import UserError
from vit.evaluation.comparison import RunComparison, comparison


def table(right: str, groups: str | None = None, labels: str = "", folder: str = "x") -> list[dict[str, str]]:
    """Predictions for as many images as `right` has letters, correct where it has a 1; a letter of `groups` each."""
    rows = []
    for index, one in enumerate(right):
        label = labels[index] if labels else "cat"
        row = {"path": f"{folder}/{index}.png", "label": label, "prediction": label if one == "1" else "wrong"}
        rows.append(row | ({"group": groups[index]} if groups else {}))
    return rows


def test_accuracies_disputed_images_difference_and_p_are_those_counted_by_hand():
    found = comparison(table("1" * 5 + "0" * 5 + "1" * 10), table("1" * 2 + "0" * 3 + "1" * 15), 0.95, seed=0)
    assert found.low < 0.1 < found.high and found.better is None
    assert found == RunComparison(
        images=20,
        groups=20,
        accuracy_a=0.75,
        accuracy_b=0.85,
        both_right=12,
        only_a_right=3,
        only_b_right=5,
        neither_right=0,
        difference=pytest.approx(0.1),
        low=found.low,
        high=found.high,
        confidence_level=0.95,
        mcnemar_p=2 * (1 + 8 + 28 + 56) / 256,  # 3 of 8 disputed images
    )


def test_the_better_run_is_named_on_either_side():
    good, bad = table("1" * 60), table("01" * 30)
    assert comparison(bad, good, 0.95, seed=0).better == "B"
    assert comparison(good, bad, 0.95, seed=0).better == "A"


def test_the_order_of_the_images_does_not_matter():
    a, b = table("1100111010", "aabbccddee"), table("0101110111", "aabbccddee")
    assert comparison(a, b[::-1], 0.9, seed=1) == comparison(a, b, 0.9, seed=1)


def test_images_of_groups_are_drawn_together():
    a, b = ("0" * 20 + "1" * 20) * 3, ("1" * 20 + "0" * 4 + "1" * 16) * 3
    groups = "".join(letter * 20 for letter in "abcdef")
    alone, grouped = (comparison(table(a, one), table(b, one), 0.95, seed=0) for one in (None, groups))
    assert (alone.better, alone.groups) == ("B", 120)
    assert (grouped.better, grouped.groups, grouped.images) == (None, 6, 120)


def test_of_two_groupings_the_one_with_fewer_groups_counts_and_one_is_enough():
    a, b = "1100111010", "0101110111"
    few, many = table(b, "aaaaabbbbb"), table(b, "aabbccddee")
    assert comparison(table(a, "aabbccddee"), few, 0.9, seed=0).groups == 2
    assert comparison(table(a), many, 0.9, seed=0).groups == 5


def test_other_images_and_other_labels_are_refused_with_their_number():
    with pytest.raises(UserError, match=r"different images: A on 4, B on 3, with 3 in common; train both with the"):
        comparison(table("1101"), table("110"), 0.95, seed=0)
    with pytest.raises(UserError, match=r"A on 3, B on 3, with 0 in common"):
        comparison(table("110"), table("110", folder="y"), 0.95, seed=0)
    with pytest.raises(UserError, match=r"1 test images have different labels .*'x/1\.png' is 'b' and 'c'"):
        comparison(table("111", labels="aba"), table("111", labels="aca"), 0.95, seed=0)
