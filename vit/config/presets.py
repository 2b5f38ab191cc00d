"""Presets: what differs from the documented base, and the whole params.yaml that each becomes."""

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
    """What a preset is, for a person who chooses one."""

    title: str
    data: str
    device: str
    time: str
    score: str
    recipe: str


class Preset(Section):
    """A file in presets/: `about`, and the parameters that differ from the base."""

    name: str
    about: About
    params: Params
    differences: dict[str, Any]

    def text(self) -> str:
        """The whole params.yaml, with comments."""
        header = [
            f"Preset {self.name}: {self.about.title}.",
            *self.about.recipe.strip().splitlines(),
            "Every parameter is here. `dvc exp run -S section.key=value` changes one; `vit preset NAME` writes others.",
        ]
        return params_yaml(self.params.model_dump(by_alias=True), "\n".join(header))


def preset_names(folder: Path = PRESETS) -> list[str]:
    """Raises UserError if there is no such folder."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder} here ({Path.cwd()}); go to the root of the project")
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_preset(name: str, folder: Path = PRESETS) -> Preset:
    """The preset `folder`/`name`.yaml. Raises UserError if there is none, or a key or value in it is wrong."""
    path = folder / f"{name}.yaml"
    if name not in preset_names(folder):
        raise UserError(f"no preset '{name}'; there are {', '.join(preset_names(folder))}")
    values = dict(read_yaml(path))
    about = values.pop("about", None)
    if not isinstance(about, dict):
        raise UserError(f"{path}: 'about' is missing, which says what the preset is")
    params = checked(Params, merged(base_values(), values), path)
    return Preset(name=name, about=checked(About, about, path), params=params, differences=values)


def base_values() -> dict[str, Any]:
    """The documented base: every parameter at its default."""
    return Params().model_dump(by_alias=True)


def merged(base: Mapping[str, Any], differences: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with values replaced, section by section; what is a mapping in only one of them is replaced whole."""
    result = dict(base)
    for key, value in differences.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def is_as_written(text: str, folder: Path = PRESETS) -> bool:
    """Whether this params.yaml is what a preset becomes, so that nothing of anybody's is lost with it."""
    return any(text == load_preset(name, folder).text() for name in preset_names(folder))


def completed(path: Path) -> tuple[str, list[str]]:
    """The text of a parameter file with the keys that it lacks at their defaults, commented anew, and those keys.

    Raises UserError if it cannot be read, or one of its values is wrong.
    """
    values = read_yaml(path)
    params = checked(Params, values, path)
    header = [line[1:].removeprefix(" ") for line in _comment_at_top(path)]
    return params_yaml(params.model_dump(by_alias=True), "\n".join(header)), missing_keys(values)


def _comment_at_top(path: Path) -> list[str]:
    return list(takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines()))
