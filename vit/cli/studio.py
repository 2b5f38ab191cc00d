"""`vit studio`: the pipeline in the browser."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from vit.cli.command import command
from vit.errors import UserError
from vit.exposure import PROXY_HEADER, exposure_problem, is_loopback

APP, LOGIN = Path("studio/app.py"), Path(".streamlit/secrets.toml")
ALLOWED = "VIT_STUDIO_ALLOW"  # read by studio/project.py


@command("vit studio --port 8600")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, help="Port to listen on.")
@click.option(
    "--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on; others need a password or a proxy."
)
@click.option("--proxy-header", metavar="NAME", help="Header with the user's name, set by a proxy that lets people in.")
@click.option(
    "--allow",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Folder beside the project that fields may name too; may be repeated.",
)
def studio(port: int, host: str, proxy_header: str | None, allow: tuple[Path, ...]) -> None:
    """Open the Studio, the pipeline in the browser.

    Its pages run the commands that you would type and show each of them.
    It listens on this machine only, unless `--host` says otherwise.
    """
    if not APP.is_file():
        raise UserError(f"{APP} is not here; run `vit studio` in the project's root")
    if find_spec("streamlit") is None:
        raise UserError("the Studio needs Streamlit; run `make studio`, or install requirements-studio.txt")
    if proxy_header:
        os.environ[PROXY_HEADER] = proxy_header
    if allow:
        os.environ[ALLOWED] = os.pathsep.join(str(folder.resolve()) for folder in allow)
    problem = exposure_problem(host, has_login=LOGIN.is_file())
    if problem is not None:
        raise UserError(f"--host {host}: {problem}")
    options = {"server.port": str(port), "server.address": host}
    if not is_loopback(host):
        click.echo(
            f"warning: others can reach the Studio on {host}: whoever is let in can train and delete here, and what "
            "they send is not encrypted. Put a proxy with TLS before it, or use `ssh -L` instead of --host",
            err=True,
        )
    if proxy_header or not is_loopback(host):
        options["server.allowedHosts"] = "*"  # the name that others know this machine by; .streamlit has ours
    arguments = ["-m", "streamlit", "run", str(APP), *(f"--{key}={value}" for key, value in options.items())]
    os.execv(sys.executable, [sys.executable, *arguments])
