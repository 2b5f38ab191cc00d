import json
import sys

import pytest

from benchmarks.waiting import Case, Spent, finished, rows_of
from vit.errors import UserError


def test_seconds_that_pass_meet_the_goal_and_those_of_cpu_stand_beside_the_floor():
    case = Case("predict", lambda: Spent(0, 0), lambda: Spent(0, 0), "import torch", goal=3.0)
    ours, floor = [Spent(2.0, 1.5), Spent(2.5, 2.0), Spent(9.0, 8.0)], [Spent(2.0, 1.0)] * 3
    wall, cpu = json.loads(json.dumps(rows_of(case, ours, floor)))
    assert (wall["ours"], wall["peer"], wall["unit"], wall["ratio"], wall["met"]) == (2.5, 3.0, "seconds", 1.2, True)
    assert (cpu["ours"], cpu["peer"], cpu["peer_name"], cpu["ratio"]) == (2.0, 1.0, "import torch", 0.5)
    assert cpu["goal"] is None and not rows_of(case, [Spent(3.1, 1.0)], floor)[0]["met"]


def test_the_work_of_a_program_and_of_those_it_starts_is_counted():
    work = "import time\nwhile time.process_time() < 0.5: pass"
    alone = finished(sys.executable, "-c", work)()
    assert alone.wall >= alone.cpu >= 0.4
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    assert finished(sys.executable, "-c", child)().cpu >= 0.4


def test_a_program_that_fails_ends_the_benchmark():
    with pytest.raises(UserError, match="failed with status 3"):
        finished(sys.executable, "-c", "raise SystemExit(3)")()
