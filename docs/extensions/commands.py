"""Every `vit` command as its --help has it: usage, arguments, options, example."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from vit.cli.main import vit


def commands(docs: Path) -> str:
    """A section per command, those of a group below it."""
    return "\n\n".join(_sections(vit, click.Context(vit, info_name="vit", **vit.context_settings), 2))


def _sections(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}"
    yield _markdown(command.help or "")
    yield _code(command.get_usage(context).removeprefix("Usage: "))
    entries = [param.get_help_record(context) for param in command.get_params(context)]
    yield "\n\n".join(f"`{name}`\n: {_markdown(text) or 'Optional.'}" for name, text in filter(None, entries))
    if command.epilog:
        yield from map(_block, command.epilog.split("\b\n")[1:])
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _sections(
                inner, click.Context(inner, parent=context, info_name=name), level + 1 if level > 2 else 3
            )


def _block(block: str) -> str:
    """A title and the indented lines below it, which keep their line breaks."""
    title, _, lines = block.strip().partition("\n")
    return f"{title}\n\n{_code(re.sub(r'^  ', '', lines, flags=re.M))}"


def _code(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def _markdown(text: str) -> str:
    """Help as Markdown: only backticks are marks in it."""
    return re.sub(r"([*_<\[\]])(?=(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", text.strip())
