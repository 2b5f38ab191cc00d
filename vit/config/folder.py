"""Which commands fail in a folder because of its name: some of DVC and MLflow take its path for a URI."""

import re
from pathlib import Path

QUEUED = "`dvc exp run --queue` and `--temp`"
# The characters that a path cannot have for them, in DVC 3.67 and in MLflow 3.17.
TAKES_PATHS_FOR_URIS = {
    QUEUED: re.compile(r"[?#]|[^ -~]"),
    "`mlflow models serve`": re.compile(r"[?#]|%[0-9A-Fa-f]{2}"),
}


def failing_in(folder: Path) -> list[str]:
    """The commands that fail in `folder`; everything else works."""
    return [what for what, characters in TAKES_PATHS_FOR_URIS.items() if characters.search(str(folder))]
