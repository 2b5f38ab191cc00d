"""Shared by all commands: how they exit, and common options."""

import json
import os
import sys
from collections.abc import Callable

import click

from vit.errors import Interrupted, run_program

model_option = click.option(
    "--model",
    metavar="URI",
    show_default="the champion",
    help="models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/models/KEY or any other URI that MLflow can download, "
    "or a folder such as `model`.",
)


def json_option(what: str) -> Callable:
    """--json, which prints `what` and nothing else to stdout; the command receives it as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what}.")


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


class Command(click.Command):
    """A command that exits like a stage, also when it is interrupted or its output pipe is closed."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command by `run_program`, which turns errors into one line and an exit status."""
        run = super().invoke

        def ending_in_order() -> None:
            """Flush before the exit status is decided; a closed pipe exits with 141, Ctrl-C with 130."""
            try:
                try:
                    run(ctx)
                finally:
                    sys.stdout.flush()
            except BrokenPipeError:
                # Otherwise Python flushes once more at exit and fails again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(141)  # a shell's status for a program killed by SIGPIPE
            except Interrupted:
                raise
            except KeyboardInterrupt as error:
                raise Interrupted("interrupted", exit_status=130) from error

        run_program(ending_in_order)


def command(example: str, name: str | None = None, to: click.Group | None = None) -> Callable:
    """Turn a function into a command of the group `to`, if given; its help is the docstring followed by the example."""
    return (to or click).command(name, cls=Command, epilog=f"\b\nExample:\n  {example}")
