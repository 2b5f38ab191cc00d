import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from vit.serving.cores import MOST_PARTS, WORTH_SHARING, Cores, worker_processes

PATIENCE = 10  # seconds; only a fault lets a test wait that long


@pytest.fixture
def cores(monkeypatch) -> Cores:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    cores = Cores()
    cores.given = []
    cores._set_threads = cores.given.append
    return cores


def images(count: int) -> np.ndarray:
    return np.arange(count)[:, None]


def test_one_image_is_computed_with_the_threads_that_no_request_is_decoded_on(cores):
    assert cores.rows(lambda part: 2 * part, images(1), 8).tolist() == [[0]]
    with cores.decoding(), cores.decoding():
        cores.rows(lambda part: part, images(1), 8)
    cores.rows(lambda part: part, images(1), 8)
    assert cores.given == [8, 6, 8]


def test_threads_share_a_pass_only_where_it_is_long(cores):
    assert cores.worth(lambda image: image, images(1)) == 1
    assert cores.worth(lambda image: time.sleep(2 * WORTH_SHARING), images(1)) == 8
    cores.given.clear()
    cores.rows(lambda part: part, images(1), most_threads=1)
    assert cores.given == [1]


@pytest.mark.parametrize(
    ("arguments", "variable", "count"),
    [
        (["uvicorn", "--port", "5000", "app"], None, 1),
        (["uvicorn", "--workers", "4", "app"], None, 4),
        (["uvicorn", "--workers", "4", "app"], "2", 4),
        (["uvicorn", "app"], "3", 3),
        (["uvicorn", "app", "--workers"], "none", 1),
        (["uvicorn", "--workers", "0"], None, 1),
    ],
)
def test_worker_processes_are_counted_as_uvicorn_does(arguments, variable, count, monkeypatch):
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    if variable is not None:
        monkeypatch.setenv("WEB_CONCURRENCY", variable)
    assert worker_processes(arguments) == count


def test_a_batch_is_computed_in_parts_at_the_same_time_and_its_rows_keep_their_order(cores):
    together = threading.Barrier(MOST_PARTS, timeout=PATIENCE)
    sizes = []

    def compute(part: np.ndarray) -> np.ndarray:
        together.wait()
        sizes.append(len(part))
        return 2 * part

    assert cores.rows(compute, images(10), 8).tolist() == (2 * images(10)).tolist()
    assert sorted(sizes) == [2, 2, 3, 3] and cores.given == [2] * MOST_PARTS


def test_more_requests_than_cores_leave_one_thread(cores):
    with cores._uses(20):
        cores.rows(lambda part: part, images(3), 8)
    assert cores.given == [1, 1, 1]


def test_what_fails_gives_its_cores_back(cores):
    def fail(*_):
        raise KeyError

    for attempt in (lambda: cores.rows(fail, images(3), 8), lambda: cores.explained(fail)):
        with pytest.raises(KeyError):
            attempt()
    with pytest.raises(KeyError), cores.decoding() as over:
        list(over(fail, range(3)))
    assert cores.explained(lambda: "a map") == "a map"
    assert cores.given[-1] == 8


def test_a_request_alone_is_decoded_in_parallel_and_in_order(cores):
    together = threading.Barrier(8, timeout=PATIENCE)
    with cores.decoding() as over:
        assert list(over(lambda row: (together.wait(), row)[1], range(8))) == list(range(8))


def test_no_more_images_are_decoded_at_a_time_than_there_are_cores(cores):
    lock, now, most = threading.Lock(), 0, 0
    release = threading.Event()

    def decode(row: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 8:
                release.set()
        assert release.wait(PATIENCE)
        with lock:
            now -= 1
        return row

    def request(count: int) -> list[int]:
        with cores.decoding() as over:
            return list(over(decode, range(count)))

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(request, [3] * 20)) == [[0, 1, 2]] * 20
    assert most == 8
