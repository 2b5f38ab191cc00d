"""The pipeline as dvc.yaml describes it: its stages, and which needs the outputs of which."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from vit.config.files import DVC_YAML


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml; `after` names the stages whose outputs it reads."""

    name: str
    about: str
    after: tuple[str, ...]


def stages(root: Path = Path()) -> list[Stage]:
    """The stages in the order of dvc.yaml. Raises OSError if there is none."""
    described: dict[str, Any] = YAML(typ="safe", pure=True).load(root / DVC_YAML)["stages"]
    makers = {path: name for name, stage in described.items() for path in _outputs(stage)}
    return [
        Stage(name, stage.get("desc", ""), tuple(dict.fromkeys(makers[dep] for dep in stage["deps"] if dep in makers)))
        for name, stage in described.items()
    ]


def _outputs(stage: dict[str, Any]) -> list[str]:
    entries = [*stage.get("outs", []), *stage.get("metrics", [])]
    return [path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)]


def without_shortcuts(found: list[Stage]) -> list[tuple[str, str]]:
    """The arrows (before, after) of the graph, without those that a longer way makes superfluous."""
    after = {stage.name: set(stage.after) for stage in found}
    return [
        (before, stage.name)
        for stage in found
        for before in stage.after
        if not any(before in _ancestors(other, after) for other in stage.after)
    ]


def _ancestors(name: str, after: dict[str, set[str]]) -> set[str]:
    return after[name].union(*(_ancestors(before, after) for before in after[name]))
