"""The program `vit`: each command is in the file of its name beside this one."""

import sys
from importlib import import_module
from io import TextIOWrapper

import click

from vit.release import VERSION

COMMANDS = (
    "check",
    "compare",
    "data_hunger",
    "export",
    "folds",
    "predict",
    "preset",
    "registry",
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120, "show_default": True},
    epilog="""\b
Exit status:
  0    done
  1    refused, failed or not found: one line `error: ...` on stderr, its trace in logs/vit.log
  2    wrong usage
  130  interrupted

\b
Completion by TAB, as a line of the shell's startup file:
  bash  eval "$(_VIT_COMPLETE=bash_source vit)"
  zsh   eval "$(_VIT_COMPLETE=zsh_source vit)"
  fish  _VIT_COMPLETE=fish_source vit | source""",
)
@click.version_option(VERSION, message="%(prog)s %(version)s")
def vit() -> None:
    """What DVC and MLflow have no command for; `dvc repro` runs the pipeline."""


for command in COMMANDS:
    vit.add_command(getattr(import_module(f"vit.cli.{command}"), command))


def main(arguments: list[str] | None = None) -> None:
    """Run the command that `arguments`, else the command line, names; always ends by SystemExit."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names that are no UTF-8
    vit.main(arguments, prog_name="vit")
