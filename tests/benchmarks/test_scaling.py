import pytest

from benchmarks.contenders import preset_case
from benchmarks.scaling import Workload, beside_a_line, measure


def test_the_scaling_benchmark_still_works():
    tables = measure(preset_case("shapes"), Workload(images=(70, 140), batch_sizes=(8, 64), rounds=1))
    assert [row["images"] for row in tables["time"]] == [70, 140]
    assert [row["batch_size"] for row in tables["memory"]] == [8, 64]
    assert all(row["seconds"] > 0 for row in tables["time"])


def test_the_line_is_the_least_squares_one():
    rows = beside_a_line({1: 1.0, 2: 2.0, 3: 6.0}, "images", "seconds")  # slope 2.5, mean 3 at 2
    assert [row["line"] for row in rows] == pytest.approx([0.5, 3.0, 5.5])
    assert [row["off_line_percent"] for row in rows] == pytest.approx([100.0, -33.3, 9.1])
    assert [row["seconds_per_1000"] for row in rows] == pytest.approx([1000, 1000, 2000])
