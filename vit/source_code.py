"""Finding the project files that a file imports: they determine what DVC tracks and what is served."""

import ast
from collections.abc import Iterable
from pathlib import Path

PACKAGES = ("vit", "stages")


def imported_names(path: Path, at_start_only: bool = False) -> set[str]:
    """Names of the modules that a file imports; without those inside functions if `at_start_only`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body if at_start_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_files(root: Path, path: str) -> set[str]:
    """The files of `PACKAGES` below `root` that `path` imports directly, as relative POSIX paths."""
    modules = {name for name in imported_names(root / path) if name.split(".")[0] in PACKAGES}
    files = {module.replace(".", "/") + ".py" for module in modules}
    return {file for file in files if (root / file).is_file()}


def import_closure(root: Path, path: str, exempt: Iterable[str] = ()) -> set[str]:
    """`path` and every file of `PACKAGES` that it imports, directly or indirectly.

    Files whose path begins with one of `exempt` are neither listed nor followed.
    """
    seen: set[str] = set()
    waiting = {path}
    while waiting:
        seen |= waiting
        found = set().union(*(imported_files(root, one) for one in waiting)) - seen
        waiting = {one for one in found if not one.startswith(tuple(exempt))}
    return seen
