"""Work for several processes: few items in flight at a time, and no process outlives the one that started it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait as wait_for_end
from typing import Any, TypeVar

from vit.data.engine import connected, engine_address
from vit.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(job: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The results of `job` on each item, in order of completion; only two items per worker are taken in advance.

    One worker means this process. If VIT_ENGINE is set, its workers do everything, however many they are.
    An error in `job` stops all workers and is raised here. Raises UserError if a process is killed.
    """
    if address := engine_address():
        with connected(address) as engine:
            yield from _in_flight(partial(engine.submit, job), items, engine.first_of, engine.workers)
    elif workers == 1:
        yield from map(job, items)
    else:
        yield from _map_here(job, items, workers)


def _map_here(job: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    pool = ProcessPoolExecutor(workers, initializer=_live_no_longer_than_parent)
    try:
        yield from _in_flight(partial(pool.submit, job), items, _first_of, lambda: workers)
    except BrokenProcessPool:
        raise UserError(
            f"one of {workers} worker processes was killed, "
            "perhaps for lack of memory; close other programs, or lower pack.workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _first_of(under_way: set[Future]) -> tuple[list, set[Future]]:
    """Wait for results; returns them, and what is still under way."""
    done, rest = wait(under_way, return_when=FIRST_COMPLETED)
    return [future.result() for future in done], rest


def _in_flight(
    submit: Callable[[Item], Any],
    items: Iterable[Item],
    first_of: Callable[[set], tuple[list, set]],
    workers: Callable[[], int],
) -> Iterator[Any]:
    """Two items per worker at a time, which may become more or fewer meanwhile."""
    under_way: set = set()
    for item in items:
        while len(under_way) >= 2 * workers():
            results, under_way = first_of(under_way)
            yield from results
        under_way.add(submit(item))
    while under_way:
        results, under_way = first_of(under_way)
        yield from results


def _live_no_longer_than_parent() -> None:
    """Leave Ctrl-C to the parent, and wait in a thread for its end: a killed parent cannot stop its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # a worker process has one
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait_for_end([sentinel])
    os._exit(1)
