"""Windows are compared once, whatever happens to the log afterwards."""

import logging

import pytest

from tests.monitoring.made import START, log, rows, write_val
from vit.errors import UserError
from vit.monitoring.answer import Asked, answer
from vit.monitoring.logged import read_log
from vit.monitoring.windows import Window

NOW = START + 10_000


@pytest.fixture
def asked(tmp_path) -> Asked:
    return Asked(tmp_path / "log", Window.parse("50"), 0.05, "vit", val=write_val(tmp_path / "val"))


def test_a_window_that_resembles_val_is_quiet_and_a_darker_one_alarms(asked):
    log(asked.log, "a", rows(50))
    log(asked.log, "b", rows(60, START + 100, bright=0.2, seed=2))
    found = answer(asked, NOW)
    assert [one.alarms(0.05) for one in found.found] == [[], ["brightness"]]
    assert found.rest.num_rows == 10 and found.question.block == 1
    assert found.found[0].values["share/cat"] == 0.5
    assert found.found[1].values["brightness"] == pytest.approx(0.2, abs=0.05)


def test_asking_again_compares_nothing_anew_also_when_the_old_files_are_gone(asked):
    log(asked.log, "a", rows(120))
    before = answer(asked, NOW).found
    (asked.log / "a.parquet").unlink()
    log(asked.log, "b", rows(30, START + 500, seed=5))
    after = answer(asked, NOW)
    assert after.found == before and len(before) == 2
    log(asked.log, "c", rows(30, START + 600, seed=6))
    assert [one.number for one in answer(asked, NOW).found] == [0, 1, 2]


def test_what_a_server_may_not_have_written_yet_is_in_no_window(asked):
    log(asked.log, "a", rows(50))
    assert answer(asked, START + 60).found == []
    assert len(answer(asked, START + 110).found) == 1


def test_the_version_that_answered_last_is_looked_at_and_no_other(asked):
    log(asked.log, "a", rows(50, version="1", seed=3))
    log(asked.log, "b", rows(25, START + 1000, version="2"))
    found = answer(asked, NOW)
    assert (found.question.version, found.found, found.rest.num_rows) == ("2", [], 25)


def test_a_damaged_file_is_named_and_the_others_are_read(asked, caplog):
    caplog.set_level(logging.WARNING, "vit")
    log(asked.log, "a", rows(10))
    (asked.log / "b.parquet").write_bytes((asked.log / "a.parquet").read_bytes()[:500])
    assert read_log(asked.log).num_rows == 10 and "b.parquet is left out" in caplog.text


def test_a_model_from_no_registry_needs_a_folder_to_compare_with(asked, tmp_path):
    log(asked.log, "a", rows(10, version=""))
    with pytest.raises(UserError, match="comes from no registry; name the folder"):
        answer(Asked(asked.log, asked.window, 0.05, "vit"), NOW)
    with pytest.raises(UserError, match=r"has no val_sample\.safetensors"):
        answer(Asked(asked.log, asked.window, 0.05, "vit", val=tmp_path), NOW)
    assert answer(asked, NOW).rest.num_rows == 10
