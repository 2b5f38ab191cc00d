"""`vit studio`: the pipeline in the browser."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from vit.cli.command import command
from vit.errors import UserError

APP = Path("studio/app.py")


@command("vit studio --port 8600")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, help="Port to listen on.")
def studio(port: int) -> None:
    """Open the Studio, the pipeline in the browser.

    Its pages run the commands that you would type and show each of them.
    """
    if not APP.is_file():
        raise UserError(f"{APP} is not here; run `vit studio` in the project's root")
    if find_spec("streamlit") is None:
        raise UserError("the Studio needs Streamlit; run `make studio`, or install requirements-studio.txt")
    arguments = ["-m", "streamlit", "run", str(APP), "--server.port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])
