"""A PostgreSQL of a test's own, which can crash and be started again; Debian's package brings it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from tests.conftest import free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
OWNER = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
NO_POSTGRES = None if PROGRAMS else "PostgreSQL is not installed: apt-get install postgresql"
NO_CLIENT = NO_POSTGRES or (None if find_spec("psycopg2") else "no psycopg2: pip install -r requirements-remote.txt")


class Postgres:
    """A server with user and database `mlflow` in a new `folder`, while a `with` block lasts."""

    def __init__(self, folder: Path, password: str = "secret"):
        self.folder, self.password, self.port = folder, password, free_port()
        self._process: subprocess.Popen | None = None

    @property
    def uri(self) -> str:
        # SQLAlchemy 2.1 takes another driver for postgresql:// alone.
        return f"postgresql+psycopg2://mlflow:{self.password}@127.0.0.1:{self.port}/mlflow"

    def __enter__(self) -> "Postgres":
        self.folder.mkdir()
        password = self.folder / "password"
        password.write_text(self.password)
        self._give_to_its_user(self.folder, password)
        options = ["--username=mlflow", "--auth=scram-sha-256", f"--pwfile={password}", f"--pgdata={self.folder}/data"]
        subprocess.run(
            [PROGRAMS[-1] / "initdb", *options],
            user=OWNER,
            group=OWNER,
            extra_groups=OWNER and [],
            cwd="/",
            check=True,
            capture_output=True,
        )
        password.unlink()
        self.start()
        self._call("createdb", "mlflow")
        return self

    def __exit__(self, *_) -> None:
        self.stop(signal.SIGINT)  # its fast shutdown, which does not wait for clients

    def start(self) -> None:
        """Start the server, again if it was stopped, and wait until it answers."""
        settings = ["-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        with (self.folder / "log").open("a") as output:
            self._process = subprocess.Popen(
                [PROGRAMS[-1] / "postgres", "-D", self.folder / "data", *settings],
                user=OWNER,
                group=OWNER,
                extra_groups=OWNER and [],
                cwd="/",
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        for _ in range(600):
            if self._call("psql", "--command=SELECT 1", "postgres", check=False) == 0:
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, how: signal.Signals) -> None:
        """End the server by a signal; after SIGQUIT, its immediate shutdown, it recovers as from a crash."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(timeout=30)

    def _call(self, program: str, *arguments: str, check: bool = True) -> int:
        command = [PROGRAMS[-1] / program, "--host=127.0.0.1", f"--port={self.port}", "--username=mlflow", *arguments]
        env = os.environ | {"PGPASSWORD": self.password}
        return subprocess.run(command, env=env, capture_output=True, check=check).returncode

    @staticmethod
    def _give_to_its_user(folder: Path, password: Path) -> None:
        """The folder and the file in it, and a way to them through folders that pytest keeps for itself."""
        if OWNER is None:
            return
        for path in (folder, password):
            shutil.chown(path, OWNER, OWNER)
        for parent in folder.parents:
            if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
                parent.chmod(parent.stat().st_mode | 0o011)


def rows(uri: str, query: str) -> list[tuple]:
    """What a query answers."""
    import psycopg2

    connection = psycopg2.connect(uri.replace("+psycopg2", ""))
    try:
        cursor = connection.cursor()
        cursor.execute(query)
        return cursor.fetchall()
    finally:
        connection.close()
