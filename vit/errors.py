"""User errors end in one clear line; the traceback goes to the log file."""

import logging
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from vit.files import project_root

log = logging.getLogger("vit")


class UserError(Exception):
    """An error that a user can fix: what is wrong, the value, and what to do, in one line."""


class Interrupted(KeyboardInterrupt):
    """An orderly end after a signal: the progress, how to continue, and the exit status."""

    def __init__(self, message: str, exit_status: int):
        super().__init__(message)
        self.exit_status = exit_status


def run_program(main: Callable[[], None]) -> None:
    """Run `main`; a UserError becomes one line on stderr, a traceback in logs/vit.log, and exit status 1."""
    _configure_logging()
    try:
        main()
    except UserError as error:
        log.debug("stopped by a user error", exc_info=True)
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(interrupted.exit_status)
    except Exception:
        log.debug("stopped by an unexpected error", exc_info=True)
        raise


def one_line(error: Exception) -> str:
    """The error's message without line breaks."""
    return " ".join(str(error).split())


class LogFile(RotatingFileHandler):
    """Creates its folder with the first line, so that a command without log lines leaves no files."""

    def _open(self):
        Path(self.baseFilename).parent.mkdir(exist_ok=True)
        return super()._open()


def _configure_logging() -> None:
    path = project_root() / "logs" / "vit.log"
    to_file = LogFile(path, maxBytes=2**20, backupCount=1, delay=True, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    to_person = logging.StreamHandler(sys.stderr)
    to_person.setLevel(logging.INFO)
    log.setLevel(logging.DEBUG)
    log.handlers = [to_file, to_person]
