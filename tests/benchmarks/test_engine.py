from importlib.util import find_spec

import pytest

from benchmarks.engine import STAGES, measured


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="no Dask: pip install -r requirements-engine.txt")
def test_the_benchmark_of_the_engine_still_works_and_its_outputs_are_equal(tmp_path):
    rows = measured("small", 60, 1, tmp_path)  # which compares them
    assert [row["unit"] for row in rows] == ["seconds", "seconds of CPU"] * len(STAGES)
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
