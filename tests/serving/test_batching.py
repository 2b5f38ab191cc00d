"""Requests that wait together are one batch, and none notices the others."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vit.serving.batching import Batcher

PATIENCE = 10  # seconds; only a fault lets a test wait that long


class Recorder:
    """Computes rows that are the images, remembers every batch, and can be held back."""

    def __init__(self):
        self.batches: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()
        self.started = threading.Event()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.started.set()
        assert self.free.wait(PATIENCE)
        self.batches.append(images[:, 0].tolist())
        if (images < 0).any():
            raise ValueError("a negative image")
        return images


def ask(batcher: Batcher, *numbers: int) -> list[int]:
    with batcher.request() as compute:
        return compute(np.array(numbers)[:, None])[:, 0].tolist()


def wait_for(condition) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_requests_that_come_during_a_batch_are_the_next_one_and_each_gets_its_own_rows():
    recorder = Recorder()
    batcher = Batcher(recorder, wait=PATIENCE)
    recorder.free.clear()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, batcher, 0)
        assert recorder.started.wait(PATIENCE)
        others = [pool.submit(ask, batcher, number, 10 * number) for number in (1, 2, 3)]
        wait_for(lambda: len(batcher._waiting) == 4)
        recorder.free.set()
        assert [one.result(PATIENCE) for one in (first, *others)] == [[0], [1, 10], [2, 20], [3, 30]]
    assert recorder.batches[0] == [0] and sorted(recorder.batches[1]) == [1, 2, 3, 10, 20, 30]
    assert len(recorder.batches) == 2


def test_a_client_alone_does_not_wait():
    batcher = Batcher(Recorder(), wait=PATIENCE)
    began = time.monotonic()
    assert [ask(batcher, number) for number in range(20)] == [[number] for number in range(20)]
    assert time.monotonic() - began < PATIENCE / 2


def test_a_batch_waits_for_a_request_that_is_being_decoded_but_no_longer_than_the_wait():
    recorder = Recorder()
    batcher = Batcher(recorder, wait=0.05)
    with batcher.request() as slow:
        began = time.monotonic()
        assert ask(batcher, 1) == [1]
        assert time.monotonic() - began >= 0.05
        assert slow(np.array([[2]])).tolist() == [[2]]
    assert recorder.batches == [[1], [2]]


def test_a_request_that_is_refused_while_it_is_decoded_holds_nobody_up():
    batcher = Batcher(Recorder(), wait=PATIENCE)
    with pytest.raises(KeyError), batcher.request():
        raise KeyError
    began = time.monotonic()
    assert ask(batcher, 1) == [1]
    assert time.monotonic() - began < PATIENCE / 2


def test_a_small_request_passes_a_large_one_and_the_large_one_is_not_starved():
    recorder = Recorder()
    batcher = Batcher(recorder, wait=PATIENCE, largest=4)
    recorder.free.clear()
    with ThreadPoolExecutor() as pool:
        large = pool.submit(ask, batcher, *range(100, 112))
        assert recorder.started.wait(PATIENCE)
        small = [pool.submit(ask, batcher, number) for number in (1, 2)]
        wait_for(lambda: len(batcher._waiting) == 3)
        recorder.free.set()
        assert [one.result(PATIENCE) for one in small] == [[1], [2]]
        assert large.result(PATIENCE) == list(range(100, 112))
    assert [len(batch) for batch in recorder.batches] == [4, 4, 4, 2]
    assert sorted(recorder.batches[1]) == [1, 2, 104, 105]


def test_a_failure_reaches_only_the_request_that_causes_it():
    recorder = Recorder()
    batcher = Batcher(recorder, wait=PATIENCE)
    recorder.free.clear()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask, batcher, 0)
        assert recorder.started.wait(PATIENCE)
        good, bad = pool.submit(ask, batcher, 1, 2), pool.submit(ask, batcher, -1)
        wait_for(lambda: len(batcher._waiting) == 3)
        recorder.free.set()
        assert (first.result(PATIENCE), good.result(PATIENCE)) == ([0], [1, 2])
        with pytest.raises(ValueError, match="a negative image"):
            bad.result(PATIENCE)
    assert ask(batcher, 5) == [5]


def test_more_requests_than_a_batch_holds_are_all_answered():
    batcher = Batcher(Recorder(), wait=0.001, largest=3)
    with ThreadPoolExecutor(40) as pool:
        asked = [list(range(number, number + number % 7 + 1)) for number in range(200)]
        assert list(pool.map(lambda numbers: ask(batcher, *numbers), asked)) == asked


def test_without_a_wait_each_request_is_computed_alone_by_its_own_thread():
    threads = []
    batcher = Batcher(lambda images: threads.append(threading.current_thread()) or images, wait=0)
    assert ask(batcher, 1, 2) == [1, 2]
    assert threads == [threading.current_thread()]


def test_a_closed_batcher_answers_those_that_were_announced_and_those_that_come_late_and_then_ends():
    recorder = Recorder()
    batcher = Batcher(recorder, wait=PATIENCE)
    with batcher.request() as compute:
        thread = batcher._thread
        batcher.close()
        assert compute(np.array([[1]])).tolist() == [[1]]
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert ask(batcher, 2) == [2]
    with pytest.raises(RuntimeError), batcher.request():
        raise RuntimeError("refused")
    for one in [one for one in threading.enumerate() if one.name == "batches" and one is batcher._thread]:
        one.join(PATIENCE)
    assert batcher._thread is None
