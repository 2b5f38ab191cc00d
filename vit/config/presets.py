"""Presets: what differs from the defaults, and the complete params.yaml that each becomes."""

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from vit.config.document import params_yaml
from vit.config.fields import Section
from vit.config.params_file import checked, missing_keys, read_yaml
from vit.config.schema import Params
from vit.errors import UserError

PRESETS = Path("presets")


class About(Section):
    """Description of a preset, for choosing one."""

    title: str
    data: str
    device: str
    time: str
    score: str
    recipe: str


class Preset(Section):
    """A file in presets/: `about`, and the parameters that differ from the defaults."""

    name: str
    about: About
    params: Params
    differences: dict[str, Any]

    def text(self) -> str:
        """The complete params.yaml, with comments."""
        header = [
            f"Preset {self.name}: {self.about.title}.",
            *self.about.recipe.strip().splitlines(),
            "All parameters are listed. Change one with `dvc exp run -S section.key=value`;",
            "`vit preset NAME` writes another preset.",
        ]
        return params_yaml(self.params.model_dump(by_alias=True), "\n".join(header))


def preset_names(folder: Path = PRESETS) -> list[str]:
    """Raises UserError if there is no such folder."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder} in {Path.cwd()}; change to the root of the project")
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_preset(name: str, folder: Path = PRESETS) -> Preset:
    """The preset `folder`/`name`.yaml. Raises UserError if there is none, or a key or value in it is wrong."""
    path = folder / f"{name}.yaml"
    if name not in preset_names(folder):
        raise UserError(f"no preset '{name}'; available: {', '.join(preset_names(folder))}")
    values = dict(read_yaml(path))
    about = values.pop("about", None)
    if not isinstance(about, dict):
        raise UserError(f"{path}: 'about' is missing; it describes the preset")
    params = checked(Params, merged(base_values(), values), path)
    return Preset(name=name, about=checked(About, about, path), params=params, differences=values)


def base_values() -> dict[str, Any]:
    """Every parameter at its default."""
    return Params().model_dump(by_alias=True)


def merged(base: Mapping[str, Any], differences: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with values replaced, section by section; a mapping that is in only one of the two is replaced whole."""
    result = dict(base)
    for key, value in differences.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def is_as_written(text: str, folder: Path = PRESETS) -> bool:
    """Whether this params.yaml is an unedited preset, so that overwriting it loses nobody's work."""
    return any(text == load_preset(name, folder).text() for name in preset_names(folder))


def completed(path: Path) -> tuple[str, list[str]]:
    """A parameter file with missing keys added at their defaults and fresh comments; also the keys that were added.

    Raises UserError if it cannot be read, or one of its values is wrong.
    """
    values = read_yaml(path)
    params = checked(Params, values, path)
    return completed_text(path, params.model_dump(by_alias=True)), missing_keys(values)


def completed_text(path: Path, values: Mapping[str, Any]) -> str:
    """A whole params.yaml of `values` by section, below the comments at the top of the present file at `path`."""
    header = [line[1:].removeprefix(" ") for line in _comment_at_top(path)]
    return params_yaml(values, "\n".join(header))


def _comment_at_top(path: Path) -> list[str]:
    return list(takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines()))
