"""Parameters for tests: a preset of the repo with some of its values changed."""

from pathlib import Path

from ruamel.yaml import YAML

from vit.config.params_file import load_params
from vit.config.presets import load_preset
from vit.config.schema import Params

REPO = Path(__file__).resolve().parents[1]


def write_preset(path: Path, name: str, changes: dict[str, object] | None = None) -> None:
    """Write the whole of presets/`name`.yaml to `path`, values replaced by dotted key, e.g. `train.augment.hflip`."""
    yaml = YAML()
    values = yaml.load(whole_preset(name))
    for key, value in (changes or {}).items():
        *sections, last = key.split(".")
        section = values
        for inner in sections:
            section = section[inner]
        section[last] = value
    yaml.dump(values, path)


def whole_preset(name: str) -> str:
    """The text of params.yaml that `vit preset` writes."""
    return load_preset(name, REPO / "presets").text()


def preset(folder: Path, name: str, changes: dict[str, object] | None = None) -> Params:
    """The parameters of `write_preset`, read by way of a file in `folder`."""
    path = folder / "params.yaml"
    write_preset(path, name, changes)
    return load_params(path)
