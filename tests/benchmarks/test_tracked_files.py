import pytest

from benchmarks.tracked_files import SOURCE, TAR, begin, change_one, measure, run


def test_the_projects_of_the_tracked_files_benchmark_still_run(tmp_path):
    begin(tmp_path, TAR, files=3)
    run(tmp_path, "dvc", "repro")
    assert sum(name.endswith(".jpg") for name in (tmp_path / "names").read_text().splitlines()) == 3
    before = (tmp_path / SOURCE / "0000/0000000.jpg").read_bytes()
    change_one(tmp_path)
    assert (tmp_path / SOURCE / "0000/0000000.jpg").read_bytes() == before + b"!"


@pytest.mark.slow
def test_both_units_are_measured_in_every_case(tmp_path):
    rows = measure(files=20, rounds=1, scratch=tmp_path)
    assert {row["unit"] for row in rows} == {"seconds", "seconds of CPU"}
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows if "dvc" in row["case"])
    assert {row["case"].partition(",")[0] for row in rows} >= {"dvc repro", "dvc checkout", "dvc add"}
