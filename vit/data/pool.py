"""Work for several processes: few items in flight at a time, and no process outlives the one that started it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_end
from typing import TypeVar

from vit.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(job: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The results of `job` on each item, in order of completion; only two items per worker are taken in advance.

    One worker means this process. An error in `job` stops all workers and is raised here.
    Raises UserError if a process is killed.
    """
    if workers == 1:
        yield from map(job, items)
        return
    pool = ProcessPoolExecutor(workers, initializer=_live_no_longer_than_parent)
    under_way: set[Future] = set()
    try:
        for item in items:
            if len(under_way) == 2 * workers:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            under_way.add(pool.submit(job, item))
        yield from (future.result() for future in as_completed(under_way))
    except BrokenProcessPool:
        raise UserError(
            f"one of {workers} worker processes was killed, "
            "perhaps for lack of memory; close other programs, or lower pack.workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _live_no_longer_than_parent() -> None:
    """Leave Ctrl-C to the parent, and wait in a thread for its end: a killed parent cannot stop its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # a worker process has one
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait_for_end([sentinel])
    os._exit(1)
