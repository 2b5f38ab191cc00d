"""What several tests share: the repo, the commands of its pages, and fresh clones of it that run the real tools."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from xdist.scheduler import LoadScopeScheduling

REPO = Path(__file__).parents[1]

# Two pytest workers share the cores (pyproject.toml). OpenMP threads of one training that wait for each other while the
# other worker holds a core cost many times what they gain, so every process of the tests trains on one thread.
os.environ["OMP_NUM_THREADS"] = "1"

# A shell that starts the tests in the background lets them ignore Ctrl-C, and with them all programs that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class OneWorkerPerFolder(LoadScopeScheduling):
    """The tests of a folder share a worker, and with it one clone, one server, one port."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("::")[0].rpartition("/")[0]


PIPELINE, LONG = "tests/pipeline", ("tests/pipeline", "tests/experiments", "tests/trainings")
BEGAN = time.monotonic()


def _folder(item: pytest.Item) -> str:
    return item.nodeid.split("::")[0].rpartition("/")[0]


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders that take longest first, so that no worker is left with one of them at the end."""
    for item in items:
        if _folder(item) in (*LONG, "tests/benchmarks"):
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: LONG.index(_folder(item)) if _folder(item) in LONG else len(LONG))


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> LoadScopeScheduling:
    return OneWorkerPerFolder(config, log)


@dataclass
class Project:
    """A clone of the repo in a folder of its own, and the environment that its commands run in."""

    folder: Path
    env: dict[str, str]

    def run(self, command: str, succeeds: bool = True, **env: str) -> subprocess.CompletedProcess:
        """Run a shell command in the clone; its output is in `.stdout` and `.stderr`."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.env | env, capture_output=True, text=True, timeout=300
        )
        assert (done.returncode == 0) is succeeds, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @contextmanager
    def running(self, command: str, url: str, **env: str) -> Iterator[None]:
        """Run a server until the block ends; the block begins when `url` answers."""
        log = self.folder / "logs" / "server.txt"
        log.parent.mkdir(exist_ok=True)
        with log.open("w") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.env | env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                _wait_for(url, server, log)
                yield
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(timeout=20)

    def read(self, path: str) -> str:
        return (self.folder / path).read_text(encoding="utf-8")


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@cache
def program_of_the_clone() -> TemporaryDirectory:
    """A folder with a `vit` that runs the code of the folder it is called in, as no clone is installed itself."""
    folder = TemporaryDirectory()
    program = Path(folder.name, "vit")
    program.write_text('#!/bin/sh\nexec python -m vit "$@"\n')
    program.chmod(0o755)
    return folder


def clone(folder: Path) -> Project:
    """The files of the working tree that git does not ignore, as a new git repo with one commit."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPO,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (REPO / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, folder / name)
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "MAKE", "GIT_"))
    }
    env = ours | {
        "PATH": os.pathsep.join([program_of_the_clone().name, str(Path(sys.executable).parent), os.environ["PATH"]]),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    project = Project(folder, env)
    project.run("git init -q -b main && git add -A && git commit -qm start")
    return project


PAGES = [REPO / name for name in ("README.md", "CONTRIBUTING.md", "docs/index.md")]
PAGES += sorted(REPO.glob("docs/[a-z]*/**/*.md"))


def documented_commands() -> list[str]:
    """Every command line in the shell blocks of README, CONTRIBUTING and docs; continued lines are joined."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def documented(beginning: str) -> str:
    """The one command of the pages that begins so, or that is just this."""
    commands = documented_commands()
    if beginning in commands:
        return beginning
    found = {command for command in commands if command.startswith(beginning)}
    assert len(found) == 1, f"the pages have {len(found)} commands that begin with '{beginning}': {sorted(found)}"
    return found.pop()


@dataclass
class Timed:
    """A finished command and its wall time, in seconds of an idle machine."""

    output: str
    seconds: float


# Seconds in which an idle core of the two-core machine on which the time limits were set counts to 3 million.
IDLE = 0.13


class Speed(threading.Thread):
    """Samples, until stopped, how fast this machine is beside that idle one, as others may be using it."""

    def __init__(self):
        super().__init__(daemon=True)
        self._stopped = threading.Event()
        self._speeds: list[float] = []

    def run(self) -> None:
        while not self._stopped.wait(0.5) or not self._speeds:
            self._speeds.append(min(1.0, IDLE / 30 / min(_seconds_to_count(100_000) for _ in range(3))))

    def stop(self) -> float:
        """The mean speed of this machine over the samples, of (0, 1]: 1 where it was as fast as the idle one."""
        self._stopped.set()
        self.join()
        return sum(self._speeds) / len(self._speeds)


def _seconds_to_count(end: int) -> float:
    began = time.perf_counter()
    total = 0
    for number in range(end):
        total += number
    return time.perf_counter() - began


def timed(project: Project, command: str) -> Timed:
    speed = Speed()
    speed.start()
    began = time.monotonic()
    output = project.run(command).stdout
    seconds = time.monotonic() - began
    return Timed(output, seconds * speed.stop())


def timed_again(project: Project, command: str, limit: float) -> Timed:
    """Up to three times, until once below `limit` seconds: what disturbs a measurement only ever lengthens it."""
    for _ in range(3):
        done = timed(project, command)
        if done.seconds < limit:
            break
    return done


# The environment that runs the tests is the one that `make repro` would install.
INSTALLED = "--assume-old=.venv/run.stamp"


def _end_of_first_repro(tmp_path_factory) -> Path:
    """A file that all workers know."""
    return tmp_path_factory.getbasetemp().parent / "first_repro.ended"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """While the worker of tests/pipeline measures `make repro` it has the machine to itself: the other one waits."""
    is_other = hasattr(item.config, "workerinput") and _folder(item) != PIPELINE
    if is_other and any("first_repro" in one.fixturenames for one in item.session.items):
        ended = _end_of_first_repro(item.config._tmp_path_factory)
        while not ended.exists() and time.monotonic() < BEGAN + 300:
            time.sleep(0.1)


@pytest.fixture(scope="session")
def first_repro(tmp_path_factory) -> tuple[Project, Timed]:
    """A fresh clone after the README's first command, on the default data set."""
    project = clone(tmp_path_factory.mktemp("work") / "it's here")  # to be quoted in a URI
    try:
        return project, timed(project, f"{documented('make repro')} {INSTALLED}")
    finally:
        _end_of_first_repro(tmp_path_factory).touch()


@pytest.fixture
def project(first_repro) -> Iterator[Project]:
    """The trained clone that the session's tests share; parameters are put back after each test."""
    yield first_repro[0]
    first_repro[0].run("git checkout -q params.yaml")
