"""The program `vit`; each command is in the file of its name in this folder."""

from importlib import import_module

import click

from vit.release import VERSION

COMMANDS = (
    "check",
    "compare",
    "data_hunger",
    "estimate",
    "export",
    "folds",
    "keep",
    "label",
    "monitor",
    "predict",
    "preset",
    "registry",
    "studio",
    "suspects",
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120, "show_default": True},
    epilog="""\b
Exit status:
  0    done
  1    refused, failed or not found: one line `error: ...` on stderr, the traceback in logs/vit.log
  2    wrong usage
  3    `vit monitor`: an alarm
  130  interrupted

\b
TAB completion, as a line in the shell's startup file:
  bash  eval "$(_VIT_COMPLETE=bash_source vit)"
  zsh   eval "$(_VIT_COMPLETE=zsh_source vit)"
  fish  _VIT_COMPLETE=fish_source vit | source""",
)
@click.version_option(VERSION, message="%(prog)s %(version)s")
def vit() -> None:
    """Commands that DVC and MLflow lack; run the pipeline with `dvc repro`."""


for command in COMMANDS:
    vit.add_command(getattr(import_module(f"vit.cli.{command}"), command))


def main(arguments: list[str] | None = None) -> None:
    """Run the command in `arguments`, or on the command line if None; always raises SystemExit."""
    vit.main(arguments, prog_name="vit")
