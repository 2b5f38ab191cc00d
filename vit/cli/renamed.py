"""Module commands from before `vit`, for one release."""

import sys

from vit.cli.main import main


def renamed(old: str, command: str) -> None:
    """Say that `python -m old` is now `vit command`, and run that with the arguments of this process."""
    print(f"`python -m {old}` is now `vit {command}`; the old name goes with 0.6", file=sys.stderr)
    main([command, *sys.argv[1:]])
