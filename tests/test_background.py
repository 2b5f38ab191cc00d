"""Programs that outlive whoever started them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vit.background import begin, look, stop
from vit.errors import UserError

SLEEP = "import time; print('begun', flush=True); time.sleep(60)"


def wait(folder: Path, until) -> None:
    for _ in range(100):
        if (job := look(folder)) and until(job):
            return
        time.sleep(0.05)
    raise AssertionError(look(folder))


def run(folder: Path, program: str) -> None:
    begin([sys.executable, "-c", program], ["python", "..."], folder, folder.parent, os.environ)


def test_output_and_status_are_kept_and_the_next_program_replaces_them(tmp_path):
    assert look(tmp_path / "job") is None
    for status in (3, 0):
        run(tmp_path / "job", f"print('said {status}'); raise SystemExit({status})")
        wait(tmp_path / "job", lambda job: not job.is_running)
        job = look(tmp_path / "job")
        assert (job.status, job.output, job.succeeded) == (status, f"said {status}\n", status == 0)
        assert job.command == ["python", "..."]


def test_one_program_at_a_time_runs_until_it_is_stopped(tmp_path):
    run(tmp_path / "job", SLEEP)
    wait(tmp_path / "job", lambda job: "begun" in job.output)
    with pytest.raises(UserError, match=r"`python \.\.\.` is still running; wait for it, or stop it"):
        run(tmp_path / "job", SLEEP)
    stop(tmp_path / "job")
    wait(tmp_path / "job", lambda job: not job.is_running)
    assert not look(tmp_path / "job").succeeded


def test_it_outlives_the_process_that_began_it(tmp_path):
    starter = (
        "import os, sys; from pathlib import Path; from vit.background import begin\n"
        f"begin([sys.executable, '-c', {SLEEP!r}], ['x'], Path({str(tmp_path / 'job')!r}), Path(), os.environ)\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", starter]).returncode == -9
    wait(tmp_path / "job", lambda job: job.is_running and "begun" in job.output)
    stop(tmp_path / "job")
    wait(tmp_path / "job", lambda job: not job.is_running)
