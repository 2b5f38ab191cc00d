"""Module commands from before `vit` existed, kept for one release."""

import sys

from vit.cli.main import main


def renamed(old: str, command: str) -> None:
    """Print that `python -m old` is now `vit command`, then run that with this process's arguments."""
    print(f"`python -m {old}` is now `vit {command}`; the old name will be removed in 0.6", file=sys.stderr)
    main([command, *sys.argv[1:]])
