"""The library by room, as the layout page names the rooms: every module with its docstrings."""

import re
from importlib import import_module
from pathlib import Path

from sphinx.application import Sphinx

ROOM = re.compile(r"^      (\w+)/ +(.*)$", re.M)


def import_all(app: Sphinx) -> None:
    """Import every module before autodoc does, as autodoc sets TYPE_CHECKING, with which mlflow does not import."""
    for name in _names(Path(app.srcdir).parent, "*/**/*.py"):
        import_module(name)


def modules(docs: Path, room: str = "") -> str:
    """A section per module of a room of `vit`, below what the layout page says of it; else per module of no room."""
    names = _names(docs.parent, f"{room}/**/*.py" if room else "*.py")
    rooms = dict(ROOM.findall((docs / "contributing/layout.md").read_text(encoding="utf-8")))
    lead = f"Here: {rooms[room]}." if room else "What the rooms share."
    return f"{lead}\n\n" + "\n".join(map(_section, names))


def _names(root: Path, pattern: str) -> list[str]:
    """The modules of `vit` that a person may import; old names and what Python starts only run the command."""
    paths = sorted(path for path in (root / "vit").glob(pattern) if "vit.cli." not in path.read_text(encoding="utf-8"))
    return [".".join(path.relative_to(root).with_suffix("").parts) for path in paths if path.stem != "__init__"]


def _section(name: str) -> str:
    path = f"{name.replace('.', '/')}.py"
    return f"## {name.removeprefix('vit.')}\n\n`{path}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"
