"""Shards at hand: fetched ahead of their use by what is known of the future, never more than a given number.

Which shard gives way follows Belady's rule (1966, "A study of replacement algorithms"): of those that have been read,
the one needed again last.
"""

import hashlib
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from vit.data.shards.layout import Index
from vit.data.shards.store import Bucket, Store
from vit.errors import UserError
from vit.files import replacing

FETCHERS = 8  # downloads at a time
NEVER = np.iinfo(np.int64).max
MOST_MAPPED = 10_000  # files; Linux allows 65,530 mappings per process


@dataclass
class Held:
    """A shard in the cache: its images, or the download that will bring them, and the needs before and after now."""

    images: Future
    last: int = -1
    next: int = NEVER

    @property
    def done(self) -> bool:
        return self.images.done()


class Cache:
    """The shards of one split for one process: `needs` is the sequence of shards that `take` will be asked for.

    From a bucket they are downloaded to `folder`; those in a folder are read where they lie. `waited` sums the seconds
    that `take` had to wait, `waits` counts how often it did.
    """

    def __init__(self, store: Store, index: Index, capacity: int, folder: Path | None):
        self.store, self.index, self.capacity, self.folder = store, index, capacity, folder
        self.held: dict[int, Held] = {}
        self.waits, self.waited, self.fetched = 0, 0.0, 0
        self._mapped: dict[int, np.ndarray] = {}  # of a folder: those that are verified
        self._tasks: queue.SimpleQueue[tuple[Future, int]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.expect(np.empty(0, dtype=np.int64))
        for number in self._left_over():
            self.held[number] = self._fetch(number)

    def expect(self, needs: np.ndarray) -> None:
        """Begin a new sequence of needs, int64 (E,); what is at hand stays."""
        self._needs, self._nexts = needs, next_needs(needs)
        self._planned, self._used = 0, 0
        for held in self.held.values():
            held.last, held.next = -1, NEVER
        first, where = np.unique(needs, return_index=True)
        for number, position in zip(first.tolist(), where.tolist(), strict=True):
            if number in self.held:
                self.held[number].next = position
        self._plan()

    def take(self) -> np.ndarray:
        """The images of the next shard of the sequence, uint8 (n, H, W, C), valid until `take` is called again.

        Raises UserError if it is missing or has changed.
        """
        self._plan()
        images = self.held[int(self._needs[self._used])].images
        if not images.done():
            began = time.perf_counter()
            images.exception()
            self.waits, self.waited = self.waits + 1, self.waited + time.perf_counter() - began
        self._used += 1
        return images.result()

    def _plan(self) -> None:
        """Fetch what is needed next, as far as there is room."""
        while self._planned < len(self._needs):
            number = int(self._needs[self._planned])
            if number not in self.held:
                if len(self.held) >= self.capacity and not self._make_room():
                    return
                self.held[number] = self._fetch(number)
            self.held[number].last, self.held[number].next = self._planned, int(self._nexts[self._planned])
            self._planned += 1

    def _make_room(self) -> bool:
        """Drop the shard that is needed again last among those that have been read; of several that are never needed
        again, the one read last. False if there is none yet, or if it is needed soon and waiting is better."""

        def rank(number: int) -> tuple[int, int]:
            return self.held[number].next, self.held[number].last

        is_urgent = self._planned == self._used
        read = [number for number, held in self.held.items() if held.last < self._used and (is_urgent or held.done)]
        if not read:
            return False
        number = max(read, key=rank)
        ahead = self._planned - self._used
        if self.held[number].next < self._planned + ahead:
            return False
        self.held[number].images.exception()  # waits for its end, so that its file is there to be deleted
        del self.held[number]
        if self.folder is not None:
            (self.folder / self.index.names[number]).unlink(missing_ok=True)
        return True

    def _fetch(self, number: int) -> Held:
        """Have a thread bring the shard; threads are daemons, so that no download delays the end of the program."""
        images: Future = Future()
        if number in self._mapped:
            images.set_result(self._mapped[number])
            return Held(images)
        while len(self._threads) < FETCHERS:
            self._threads.append(threading.Thread(target=self._work, daemon=True))
            self._threads[-1].start()
        self._tasks.put((images, number))
        return Held(images)

    def _work(self) -> None:
        while True:
            images, number = self._tasks.get()
            try:
                images.set_result(self._bring(number))
            except Exception as error:
                images.set_exception(error)

    def _bring(self, number: int) -> np.ndarray:
        name = self.index.names[number]
        if isinstance(self.store, Bucket):
            assert self.folder is not None
            file = self.folder / name
            if not self._is_intact(number, file):
                with replacing(file) as temporary:
                    self.store.get(name, temporary)
                    self._require_intact(number, temporary)
                self.fetched += 1
        else:
            file = self.store.folder / name
            self._require_intact(number, file)  # once per process, which also reads it ahead
        images = self.index.layout.map(file, number)
        if not self.store.is_remote and len(self._mapped) < MOST_MAPPED:
            self._mapped[number] = images
        return images

    def _is_intact(self, number: int, file: Path) -> bool:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.index.digests[number]

    def _require_intact(self, number: int, file: Path) -> None:
        if not self._is_intact(number, file):
            what = "has changed since it was packed" if file.is_file() else "is missing"
            raise lost(self.store, self.index.names[number], what)

    def _left_over(self) -> list[int]:
        """The shards that an earlier process left in the folder; other files there are deleted."""
        if self.folder is None:
            return []
        numbers = {name: number for number, name in enumerate(self.index.names)}
        left = []
        for path in sorted(self.folder.iterdir()):
            if path.name in numbers and len(left) < self.capacity:
                left.append(numbers[path.name])
            elif path.name != LOCK:
                path.unlink()
        return left


def lost(store: Store, name: str, what: str) -> UserError:
    return UserError(
        f"shard {name} in {store} {what}; delete it there if it still exists, and write it again with "
        "`dvc repro --force --single-item pack`"
    )


def next_needs(needs: np.ndarray) -> np.ndarray:
    """For each place in the sequence the next place with the same shard, NEVER without one."""
    order = needs.argsort(kind="stable")
    nexts = np.full(len(needs), NEVER)
    again = needs[order[1:]] == needs[order[:-1]]
    nexts[order[:-1][again]] = order[1:][again]
    return nexts


LOCK = "lock"
_locks: list[Any] = []  # held until this process ends


def claim_folder(root: Path, part: str, processes: int = 1) -> Path:
    """A folder for a cache, which no other process uses before this one ends; one that was left is used again.

    Folders that more processes once used, and nobody uses now, are emptied.
    """
    claimed: Path | None = None
    for number in count():
        folder = root / f"{part}-{number}"
        if claimed is not None and (number >= processes and not folder.exists()):
            return claimed
        if claimed is not None and number < processes:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        if claimed is None:
            claimed = folder
            _locks.append(lock)
            continue
        for path in folder.glob("*.tar"):
            path.unlink()
        lock.release()
    raise AssertionError
