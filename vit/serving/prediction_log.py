"""The prediction log of a server: what it answered, for `vit monitor`. Off unless `log_predictions` names a folder.

    MLFLOW_PYFUNC_INFERENCE_CONFIG='{"log_predictions": ".vit/predictions"}' mlflow models serve ...

A request only hands over references; a thread does the rest. Where it falls behind, or the disk is full, predictions
are dropped and counted, and the next file tells the count.
"""

import atexit
import hashlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from vit.errors import one_line
from vit.serving.log_files import IMAGES, Entry, delete_old, keep_image, schema, table_of, write_file
from vit.serving.settings import Logging
from vit.serving.uploads import Upload
from vit.serving.version import Answered, ServedVersion

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BYTES = 64 * 2**20  # of requests that wait for the thread
MOST_ROWS = 8192  # of a file, and of what waits for a disk that is full
LONGEST = 3600  # seconds until the next file is begun, and old ones are deleted
PREDICTIONS = "predictions"
PATIENCE = 10  # seconds
EVERY = 0.2  # seconds between looks: waking up for every request would cost more
log = logging.getLogger("vit.serving")


class PredictionLog:
    """Takes the answers of a server's threads, and writes them from one of its own."""

    def __init__(self, settings: Logging, at_end: Callable[[Callable[[], None]], object] = atexit.register):
        """`at_end` gets `close` with the first answer, to be called when the server ends.

        Raises MlflowException if pyarrow is missing, or the folder cannot be written to; a full disk is no error.
        """
        if find_spec("pyarrow") is None:  # MLflow's full package has it, mlflow-skinny has not
            raise MlflowException("log_predictions needs pyarrow, which is not installed; `pip install pyarrow`")
        _require_writable(settings.folder)
        self._settings, self._at_end = settings, at_end
        self._waiting: list[Entry] = []
        self._held = 0  # bytes of what waits
        self._dropped = 0  # predictions, since they were last asked for
        self._last = 0  # time of the newest entry
        self._changed = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, answer: Answered, version: ServedVersion, seconds: float) -> str:
        """Log an answer that took `seconds`, or drop it; returns the id by which its rows are found. Never waits."""
        classes = version.classifier.classes
        labels = [classes[index] for index in answer.probabilities.argmax(axis=1)]
        with self._changed:
            # The clock may be set back; the order in which this process answered stays.
            self._last = max(round(1e6 * time.time()), self._last + 1)
            entry = Entry(self._last, uuid.uuid4().hex, version.version, labels, 1000 * seconds, answer)
            if self._held + entry.bytes > MOST_BYTES:
                self._dropped += len(labels)
            else:
                self._held += entry.bytes
                self._waiting.append(entry)
            if self._thread is None or not self._thread.is_alive():  # a fork does not copy it
                self._at_end(self.close)
                self._thread = threading.Thread(target=self._work, name="prediction log", daemon=True)
                self._thread.start()
        return entry.request_id

    def close(self) -> None:
        """Write what waits, and end the thread; a disk that does not respond delays the end by PATIENCE only."""
        self._closed.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(PATIENCE)

    def _work(self) -> None:
        writer = Writer(self._settings)
        closed = False
        while not closed:
            closed = self._closed.wait(EVERY)
            with self._changed:
                entries, self._waiting, self._held = self._waiting, [], 0
                dropped, self._dropped = self._dropped, 0
            try:
                writer.take(entries, dropped)
                writer.write_if_due(closed)
            except Exception:
                log.exception("a fault of the prediction log; serving goes on")


class Writer:
    """The files of one process, used by one thread. The newest file is written again and again until it is full, so
    that few files arise and little is lost when the process is killed."""

    def __init__(self, settings: Logging):
        self._settings = settings
        self._process = uuid.uuid4().hex[:8]  # replicas may share the folder, so a process id would not do
        self._failing: set[str] = set()  # what could not be written, and was said
        self._begin()

    def _begin(self) -> None:
        started = datetime.now(UTC)
        self._path = self._settings.folder / f"{started:%Y%m%dT%H%M%S.%f}Z-{self._process}.parquet"
        self._began = self._written = time.monotonic()
        self._tables: list[pa.Table] = []
        self._rows = self._unwritten = self._dropped = self._untold = 0
        delete_old(self._settings.folder, self._settings.days, self._settings.image_days)

    def take(self, entries: list[Entry], dropped: int) -> None:
        """Keep the rows of `entries` for the newest file, and the number of predictions that were `dropped` before."""
        if dropped and not self._dropped:
            log.warning("the prediction log falls behind; predictions are dropped, and counted in its files")
        if self._rows >= MOST_ROWS:  # they could not be written
            dropped += sum(len(entry.labels) for entry in entries)
            entries = []
        self._dropped += dropped
        self._untold += dropped
        if not entries:
            return
        uploads = [upload for entry in entries for upload in entry.answer.uploads]
        digests = [hashlib.sha256(upload.file.getbuffer()).hexdigest() for upload in uploads]
        if not self._unwritten:
            self._written = time.monotonic()
        self._tables.append(table_of(entries, digests))
        self._rows += len(digests)
        self._unwritten += len(digests)
        if self._settings.image_days:
            self._keep_images(digests, uploads)

    def _keep_images(self, digests: list[str], uploads: list[Upload]) -> None:
        try:
            for digest, upload in zip(digests, uploads, strict=True):
                keep_image(self._settings.folder, digest, upload)
            self._failing.discard(IMAGES)
        except OSError as error:
            self._say(IMAGES, error)

    def write_if_due(self, closed: bool) -> None:
        now = time.monotonic()
        is_full = self._rows >= MOST_ROWS and PREDICTIONS not in self._failing
        is_due = closed or is_full or now > self._written + self._settings.seconds
        if (self._unwritten or self._untold) and is_due:
            self.write()
        if not self._unwritten and now > self._began + LONGEST:
            self._begin()

    def write(self) -> None:
        """Write the newest file; if that fails, say so once and keep its rows for the next time."""
        import pyarrow as pa

        self._written = time.monotonic()
        try:
            table = pa.concat_tables([schema().empty_table(), *self._tables]).combine_chunks()
            write_file(self._path, table, self._dropped)
        except OSError as error:
            self._say(PREDICTIONS, error)
            return
        if PREDICTIONS in self._failing:
            log.warning(f"the prediction log is written again; it lacks {self._untold} predictions")
            self._failing.discard(PREDICTIONS)
        self._tables, self._unwritten, self._untold = [table], 0, 0
        if self._rows >= MOST_ROWS:
            self._begin()

    def _say(self, what: str, error: OSError) -> None:
        if what not in self._failing:
            log.warning(
                f"{what} cannot be logged: {one_line(error)}; serving goes on, and what does not fit into memory is "
                "dropped and counted; free space or fix the permissions"
            )
        self._failing.add(what)


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = None if os.access(folder, os.W_OK | os.X_OK) else "it is not writable"
    except OSError as error:
        problem = one_line(error)
    if problem:
        raise MlflowException(f"log_predictions is {str(folder)!r}: {problem}; name a folder that can be written")
