import numpy as np
import pytest
from PIL import Image

from vit.errors import UserError
from vit.evaluation.paired import verdict
from vit.evaluation.sample_efficiency import Result, comparable, crossings, curve, differences, draw

IMAGES = 60


def result(
    model: str, size: int, right: int, seed: int = 0, deal: int = 0, tested: str = "a", groups: int = IMAGES
) -> Result:
    """One that is right on the first `right` of its test images."""
    numbers = np.arange(IMAGES)
    return Result(
        run=f"{model} {size}",
        model=model,
        subset=str(size),
        repeat=(str(deal), str(seed)),
        deal=(str(deal),),
        trained=f"{min(size, 300)} of {deal}",
        tested=tested,
        per_class=min(size, 300),
        nearest_neighbour=0.3,
        paths=[f"{tested}/{index}.png" for index in numbers],
        groups=np.array([f"{tested}{index * groups // IMAGES}" for index in numbers]),
        right=numbers < right,
    )


GRID = [
    result(model, size, right)
    for model, counts in {"cnn": (30, 39, 45), "vit": (18, 36, 54)}.items()
    for size, right in zip((25, 50, 200), counts, strict=True)
]


def test_the_curve_has_a_row_per_model_and_size_the_vit_first_and_smaller_sets_first():
    points, notes = comparable(GRID[::-1])
    rows = curve(points, 0.95, seed=0)
    assert [(row["model"], row["per_class"], row["accuracy"]) for row in rows] == [
        ("vit", 25, 0.3), ("vit", 50, 0.6), ("vit", 200, 0.9), ("cnn", 25, 0.5), ("cnn", 50, 0.65), ("cnn", 200, 0.75),
    ]  # fmt: skip
    assert all(row["low"] < row["accuracy"] < row["high"] and row["spread"] is None for row in rows)
    assert notes == []


def test_a_difference_has_its_verdict_and_is_doubted_more_where_few_groups_are_right_and_wrong_together():
    found = differences(comparable(GRID)[0], 0.95, seed=0)
    assert [row["difference"] for row in found] == pytest.approx([-0.2, -0.05, 0.15])
    assert [row["verdict"] for row in found] == ["worse", "inconclusive", "better"]
    few = [result("vit", size, 54, groups=3) for size in (1, 2)] + [
        result("cnn", size, 45, groups=3) for size in (1, 2)
    ]
    assert [row["verdict"] for row in differences(comparable(few)[0], 0.95, seed=0)] == ["inconclusive"] * 2


def test_seeds_are_pooled_and_what_only_some_have_is_left_out_and_counted():
    others = [result(model, size, 30, seed=1) for model in ("vit", "cnn") for size in (25, 50)]
    points, (note,) = comparable(GRID + others)
    assert note.startswith("4 run(s) omitted") and all(row["runs"] == 1 for row in curve(points, 0.95, seed=0))
    points, notes = comparable(GRID + others + [result(model, 200, 30, seed=1) for model in ("vit", "cnn")])
    first = curve(points, 0.95, seed=0)[0]
    # 18 and 30 of 60: 0.4 in the mean; 0.3 and 0.5 deviate by 0.1, and of a sample of two the variance is twice 0.01.
    assert (first["runs"], first["accuracy"], notes) == (2, 0.4, [])
    assert first["spread"] == pytest.approx(0.02**0.5)


def test_other_test_images_count_if_all_were_judged_on_them_and_else_are_refused():
    rows = curve(
        comparable(GRID + [result(one.model, int(one.subset), 60, deal=1, tested="b") for one in GRID])[0], 0.95, 0
    )
    assert rows[0]["accuracy"] == pytest.approx((18 + 60) / 120)
    with pytest.raises(UserError, match=r"'cnn 25' and 'cnn 100' were evaluated on different test images; train them"):
        comparable([*GRID, result("cnn", 100, 50, tested="c")])
    with pytest.raises(UserError, match=r"no seed or fold in common"):
        comparable([*GRID, result("cnn", 100, 50, seed=3)])


def test_sizes_above_what_there_is_are_one_size_and_the_first_of_two_same_trainings_counts():
    above = [result("vit", 300, 57), result("vit", 500, 30), result("cnn", 400, 51)]
    points, notes = comparable(GRID + above)
    assert notes == []
    assert [(row["per_class"], row["accuracy"]) for row in curve(points, 0.95, 0)][3::4] == [(300, 0.95), (300, 0.85)]
    assert len(differences(points, 0.95, 0)) == 4
    seeds = [result(model, size, 30, seed=1) for model in ("vit", "cnn") for size in (25, 50, 200, 500)]
    points, notes = comparable(GRID + above + seeds)
    assert notes == [] and all(row["runs"] == 2 for row in curve(points, 0.95, 0))


def test_one_size_is_no_curve():
    with pytest.raises(
        UserError, match=r"2 finished run\(s\) match .* fewer than two values .*dvc exp run --queue -S spl"
    ):
        comparable([result("vit", 25, 30), result("cnn", 25, 30)])
    with pytest.raises(UserError, match=r"fewer than two values of split\.subset_per_class"):
        comparable([result("vit", 300, 30), result("vit", 500, 30)])


@pytest.mark.parametrize(
    ("tenths", "sentences"),
    [
        ((-1, -1, -1), ["b is ahead of a at every size"]),
        ((0, 1), ["a is ahead of b at every size"]),
        ((0, 0), ["a and b are equal at every size"]),
        ((-1, 0, 1), ["a overtakes b between 10 and 30 train images per class"]),
        ((0.5, 0.5), ["a is ahead of b at every size, inconclusive everywhere"]),
        ((0.5, 1), ["a is ahead of b at every size"]),
        ((-1, 0.5), ["a overtakes b between 10 and 20 train images per class, inconclusive"]),
        (
            (1, -1, 1),
            [
                "b overtakes a between 10 and 20 train images per class",
                "a overtakes b between 20 and 30 train images per class",
            ],
        ),
    ],
)
def test_lines_cross_where_the_difference_changes_its_sign_and_luck_is_called_so(tenths, sentences):
    rows = [
        {
            "first": "a",
            "second": "b",
            "per_class": 10.0 * index,
            "difference": value / 10,
            "verdict": verdict(value / 10 - 0.06, value / 10 + 0.06),
        }
        for index, value in enumerate(tenths, start=1)
    ]
    assert crossings(rows) == sentences


def test_the_figure_has_the_same_bytes_for_the_same_rows(tmp_path):
    rows = curve(comparable(GRID)[0], 0.95, seed=0)
    for name in ("one.png", "two.png"):
        draw(tmp_path / name, rows, IMAGES, 0.95)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        picture.load()
        assert picture.size == (750, 500) and len(picture.convert("RGB").getcolors(2**24)) > 20
