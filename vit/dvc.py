"""DVC started as a program, in the only place that does so."""

import json
import subprocess
import sys
from pathlib import Path

from vit.errors import UserError
from vit.files import project_root


def run(*arguments: str, folder: Path | None = None) -> str:
    """Run `dvc ARGUMENTS` in `folder`, by default the project's root, and return its output.

    Raises UserError with DVC's last line if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder or project_root(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"dvc {' '.join(arguments)}: {said[-1] if said else f'exit status {done.returncode}'}")
    return done.stdout


def status() -> dict[str, list]:
    """What changed since the last `dvc repro`, by stage; stages that are up to date are absent."""
    return json.loads(run("status", "--json"))
