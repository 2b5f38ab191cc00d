import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.conftest import REPO
from vit.data.pool import map_unordered
from vit.errors import UserError

pytestmark = pytest.mark.long


def square(number: int) -> int:
    return number * number


def refuse_seven(number: int) -> int:
    if number == 7:
        raise UserError("7 is not wanted")
    return number


def die_at_seven(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_has_its_result(workers):
    assert sorted(map_unordered(square, range(50), workers)) == [number**2 for number in range(50)]


def test_few_items_are_taken_in_advance():
    taken = []
    results = map_unordered(square, (taken.append(number) or number for number in range(1000)), 2)
    next(results)
    assert len(taken) <= 5  # two per worker under way, and the one for which a result had to come first
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_job_is_raised_in_its_own_words_and_leaves_no_process(workers):
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(UserError, match=r"^7 is not wanted$"):
        list(map_unordered(refuse_seven, range(1000), workers))
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_killed_worker_ends_the_work_with_what_to_do():
    with pytest.raises(UserError, match=r"killed.*lower pack\.workers"):
        list(map_unordered(die_at_seven, range(1000), 2))


PROGRAM = """
import time
from vit.data.pool import map_unordered
for _ in map_unordered(time.sleep, [0.05] * 1000, 2):
    print("one done", flush=True)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_a_program_that_is_stopped(sent):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with program:
        program.stdout.readline()
        workers = psutil.Process(program.pid).children(recursive=True)
        assert len(workers) == 2
        if sent == signal.SIGINT:
            os.killpg(program.pid, sent)  # as Ctrl-C, which reaches the workers too
        else:
            program.send_signal(sent)
        _, alive = psutil.wait_procs(workers, timeout=5)
        assert alive == []
        assert program.wait(timeout=10) != 0
