"""User errors end in one clear line; the traceback goes to the log file."""

import codecs
import logging
import sys
import traceback
from collections.abc import Callable
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from vit.files import project_root
from vit.redaction import redacted

log = logging.getLogger("vit")


class UserError(Exception):
    """An error that a user can fix: what is wrong, the value, and what to do, in one line."""


class Interrupted(KeyboardInterrupt):
    """An orderly end after a signal: the progress, how to continue, and the exit status."""

    def __init__(self, message: str, exit_status: int):
        super().__init__(message)
        self.exit_status = exit_status


def run_program(main: Callable[[], None]) -> None:
    """Run `main`; a UserError becomes one line on stderr, a traceback in logs/vit.log, and exit status 1.

    Output never contains a secret, and never fails on a character that the terminal cannot show.
    """
    _make_printable(sys.stdout, sys.stderr)
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
        sys.excepthook = _print_redacted
        raise


def one_line(error: Exception) -> str:
    """The error's message without line breaks or secrets."""
    return redacted(" ".join(str(error).split()))


def _print_redacted(*error) -> None:
    print(redacted("".join(traceback.format_exception(*error))), file=sys.stderr, end="")


class RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class LogFile(RotatingFileHandler):
    """Creates its folder with the first line, so that a command with nothing to log leaves no files."""

    def _open(self):
        Path(self.baseFilename).parent.mkdir(exist_ok=True)
        return super()._open()


def _configure_logging() -> None:
    path = project_root() / "logs" / "vit.log"
    to_file = LogFile(path, maxBytes=2**20, backupCount=1, delay=True, encoding="utf-8")
    to_file.setFormatter(RedactingFormatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    to_person = logging.StreamHandler(sys.stderr)
    to_person.setLevel(logging.INFO)
    to_person.setFormatter(RedactingFormatter())
    log.setLevel(logging.DEBUG)
    log.handlers = [to_file, to_person]


def _make_printable(*streams: object) -> None:
    codecs.register_error("printable", _printable)
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="printable")


def _printable(error: UnicodeError) -> tuple[str | bytes, int]:
    """File names that are not UTF-8 as their own bytes, characters that the terminal lacks as \\u escapes."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)
