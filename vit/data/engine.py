"""Jobs on many machines: the Dask workers of the scheduler at VIT_ENGINE run them, and only they know Dask.

Whoever reaches a Dask scheduler can run code on its machine and on those of its workers and clients, so without TLS it
must listen on one machine alone.
"""

import logging
import os
import pickle
import platform
import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from PIL import features

from vit.errors import UserError
from vit.exposure import is_loopback
from vit.files import sha256_of, temporary_folder

ENGINE = "VIT_ENGINE"
ADDRESS = re.compile(r"(?P<scheme>tcp|tls)://(?P<host>[\w.-]+|\[[\da-f:]+\]):\d{1,5}")
CODECS = ("libjpeg_turbo", "jpg", "webp", "avif", "libtiff")
PACKAGES = ("numpy", "pillow", "pillow-heif", "distributed")
GUIDE = "see docs/guides/many-machines.md"
CONNECT, LOST, ASK = 10.0, 60.0, 2.0  # seconds: to connect, without any worker, between questions for workers


class Place(NamedTuple):
    """Where jobs run and what they must agree on: the project's folder, a file in it with a random `token`, and what
    their results depend on."""

    folder: Path
    file: Path
    token: str
    depends_on: tuple[tuple[str, str], ...]


def engine_address() -> str | None:
    """The scheduler's address in VIT_ENGINE; None if jobs run on this machine.

    Raises UserError if it is not an address, or not safe.
    """
    address = os.environ.get(ENGINE)
    if not address:
        return None
    parts = ADDRESS.fullmatch(address)
    if parts is None:
        raise UserError(
            f"{ENGINE} '{address}' is not the address of a Dask scheduler; set it to tcp://127.0.0.1:8786 or "
            "tls://HOST:8786, or unset it"
        )
    if parts["scheme"] == "tcp" and not is_loopback(parts["host"].strip("[]")):
        raise _unsafe(f"{ENGINE} '{address}'")
    return address


def _unsafe(what: str) -> UserError:
    return UserError(
        f"{what} is neither encrypted nor on this machine alone, and whoever reaches a scheduler can run code; "
        f"use tls:// ({GUIDE})"
    )


class Engine:
    """Submits jobs to the workers of a Dask scheduler; those of a worker that dies run again on another one."""

    def __init__(self, address: str, client: Any, place: Place):
        self._address, self._client, self._place = address, client, place
        self._workers, self._asked, self._seen = 0, -ASK, time.monotonic()

    def submit(self, job: Callable[[Any], Any], item: Any) -> Any:
        """A Dask future of a job's result."""
        call = _Call(pickle.dumps((job, item)), self._place)
        return self._client.submit(pickle.loads, pickle.dumps(call), pure=False)  # pure: equal jobs share one result

    def first_of(self, under_way: set) -> tuple[list, set]:
        """Wait for results; returns them, and the futures that are still under way. Raises as `workers`."""
        from distributed import wait

        while True:
            self.workers()
            try:
                done, rest = wait(under_way, timeout=ASK, return_when="FIRST_COMPLETED")
            except TimeoutError:
                continue
            return self._client.gather(list(done)), rest  # computed again if lost, which Dask's executor does not

    def workers(self) -> int:
        """The number of workers now, at least 1. Raises UserError after a minute without any."""
        now = time.monotonic()
        if now > self._asked + ASK:
            try:
                self._workers, self._asked = len(self._client.nthreads()), now
            except OSError as error:
                raise _no_scheduler(self._address, error) from error
            if self._workers:
                self._seen = now
            elif now > self._seen + LOST:
                raise UserError(f"{ENGINE} '{self._address}' has had no worker for {LOST:.0f} s; start some ({GUIDE})")
        return max(1, self._workers)


@contextmanager
def connected(address: str) -> Iterator[Engine]:
    """Connect to a scheduler. Raises UserError if it does not respond, also later, or if a job kills its workers."""
    try:
        from dask import config
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise UserError(
            f"{ENGINE} '{address}' needs Dask; run `pip install -r requirements-engine.txt -c constraints.txt`"
        ) from error

    if address.startswith("tls:") and not config.get("distributed.comm.tls.client.cert"):
        raise UserError(f"{ENGINE} '{address}' needs a certificate, and Dask's configuration names none; {GUIDE}")
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # its errors are raised here, in one line
    with temporary_folder(Path(".vit/engine").absolute()) as folder:
        place = Place(Path.cwd(), folder / "token", uuid.uuid4().hex, depends_on())
        place.file.write_text(place.token)
        try:
            client = Client(address, timeout=CONNECT)
        except OSError as error:
            raise _no_scheduler(address, error) from error
        with client:
            told = ADDRESS.fullmatch(client.scheduler_info()["address"])
            if told and told["scheme"] == "tcp" and not is_loopback(told["host"].strip("[]")):
                raise _unsafe(f"the scheduler at {ENGINE} '{address}' listens on {told[0]}, which")
            try:
                yield Engine(address, client, place)
            except KilledWorker as error:
                raise UserError(
                    f"{error.allowed_failures + 1} workers died on the same images, perhaps for lack of memory; "
                    "start fewer of them on each machine"
                ) from error
            except CancelledError as error:
                raise _no_scheduler(address, error) from error
            except ImportError as error:
                raise UserError(f"a worker of {ENGINE} '{address}' lacks the project ({error}); {GUIDE}") from error


def _no_scheduler(address: str, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()
    return UserError(
        f"{ENGINE} '{address}': no Dask scheduler responds ({reason[0] if reason else 'the connection is lost'}); "
        f"start it ({GUIDE}), or unset {ENGINE}"
    )


@cache
def depends_on() -> tuple[tuple[str, str], ...]:
    """What the bytes of results depend on in this process, by name; the code is that of the first call."""
    code = Path(__file__).parents[1]
    found = {"code of vit": sha256_of(*sorted(code.rglob("*.py")))[:12]}
    found |= {"Python": ".".join(platform.python_version_tuple()[:2]), "processor": platform.machine()}
    found |= {name: _version(name) for name in PACKAGES}
    return tuple((found | {name: str(features.version(name)) for name in CODECS}).items())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


class _Call:
    """What is unpickled as its own result: a worker without this module then fails in the job, and not in Dask."""

    def __init__(self, work: bytes, place: Place):
        self._arguments = (work, place)

    def __reduce__(self) -> tuple:
        return _run, self._arguments


def _run(work: bytes, place: Place) -> Any:
    """Run a job on a worker, in the folder that the stage runs in."""
    if problem := _problem(place):
        raise UserError(problem)
    os.chdir(place.folder)  # paths are relative to it, and so are the messages that name them
    job, item = pickle.loads(work)
    return job(item)


@cache
def _problem(place: Place) -> str | None:
    """Why the results of this worker could differ from those of the stage's own process."""
    from distributed import get_worker

    me = f"the worker {get_worker().address} on {platform.node()}"
    for (name, mine), (_, wanted) in zip(depends_on(), place.depends_on, strict=True):
        if mine != wanted:
            return f"{me} has {name} {mine}, and this machine {wanted}; make them equal and restart the worker"
    if get_worker().state.nthreads > 1:
        return f"{me} has several threads, which would share a working directory; start it with --nthreads 1"
    if not place.file.is_file() or place.file.read_text() != place.token:
        return f"{me} does not see the files of {place.folder}; mount this folder there under the same path"
    return None
