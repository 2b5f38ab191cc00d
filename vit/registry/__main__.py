"""The registry's command line: `python -m vit.registry COMMAND`, one module per group of commands."""

import argparse

from vit.errors import run_program
from vit.registry import by_hand, overview, trace, verify

COMMANDS = (overview, by_hand, trace, verify)


def main() -> None:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m vit.registry", description="The versions of the registered model.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(subparsers)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    run_program(main)
