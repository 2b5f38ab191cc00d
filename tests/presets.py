"""Parameters for tests: a preset of the repo with some of its values changed."""

from pathlib import Path

from ruamel.yaml import YAML

from vit.config.params_file import load_params
from vit.config.schema import Params

REPO = Path(__file__).resolve().parents[1]


def write_preset(path: Path, name: str, changes: dict[str, object] | None = None) -> None:
    """Write presets/`name`.yaml to `path` with values replaced by dotted key, e.g. `train.augment.hflip`."""
    yaml = YAML()
    values = yaml.load(REPO / "presets" / f"{name}.yaml")
    for key, value in (changes or {}).items():
        *blocks, last = key.split(".")
        block = values
        for inner in blocks:
            block = block[inner]
        block[last] = value
    yaml.dump(values, path)


def preset(folder: Path, name: str, changes: dict[str, object] | None = None) -> Params:
    """The parameters of `write_preset`, read by way of a file in `folder`."""
    path = folder / "params.yaml"
    write_preset(path, name, changes)
    return load_params(path)
