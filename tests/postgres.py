"""A PostgreSQL of a test's own, which can be killed and started again; Debian's package and psycopg2 bring it."""

import os
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from tests.conftest import free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))  # where Debian's package puts it
NO_POSTGRES = (
    None
    if PROGRAMS and find_spec("psycopg2")
    else "no PostgreSQL: apt-get install postgresql, and requirements-remote.txt"
)


class Postgres:
    """A server with an empty database `mlflow` in `folder`, while a `with` block lasts."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._process: subprocess.Popen | None = None

    @property
    def uri(self) -> str:
        # SQLAlchemy 2.1 takes another driver for postgresql:// alone.
        return f"postgresql+psycopg2://mlflow:secret@127.0.0.1:{self.port}/mlflow"

    def __enter__(self) -> "Postgres":
        password = self.folder / "password"
        password.write_text("secret")
        for path in (self.folder, password) if self.owner else ():
            shutil.chown(path, self.owner)
        arguments = ["-D", self.folder / "data", "-U", "mlflow", "-A", "scram-sha-256", "--pwfile", password]
        initdb = PROGRAMS[-1].with_name("initdb")
        subprocess.run([initdb, *arguments], user=self.owner, check=True, capture_output=True)
        self.start()
        connection = self._connection("postgres")
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE mlflow")
        connection.close()
        return self

    def __exit__(self, *_) -> None:
        self.stop(signal.SIGINT)  # its fast shutdown, which does not wait for clients

    def start(self) -> None:
        """Start the server, again if it was killed, and wait until it answers."""
        data, log = self.folder / "data", self.folder / "log"
        settings = ["-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        with log.open("a") as output:
            command = [PROGRAMS[-1], "-D", data, *settings]
            self._process = subprocess.Popen(command, user=self.owner, stdout=output, stderr=subprocess.STDOUT)
        self._connection("postgres").close()

    def stop(self, how: signal.Signals) -> None:
        """End the server by a signal; SIGQUIT is its immediate shutdown, after which it recovers as from a crash."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(timeout=30)

    def _connection(self, database: str):
        import psycopg2

        for _ in range(300):
            try:
                return psycopg2.connect(
                    host="127.0.0.1", port=self.port, user="mlflow", password="secret", dbname=database
                )
            except psycopg2.OperationalError:
                assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.1)
        raise AssertionError("PostgreSQL does not answer")


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
