"""weights: fetch the weights that a training starts from, and those of its teacher, to data/weights."""

from pathlib import Path

from vit.config.files import AUDIT, AUDITED_IMAGES, WEIGHTS, WEIGHTS_BROUGHT, WEIGHTS_RECORD
from vit.config.params_file import load_params
from vit.errors import run_program
from vit.files import replacing_folder, sha256_of, write_json
from vit.training.weight_sources import fetch_file


def main() -> None:
    """Run the stage; the old folder stays whole until the new one is."""
    params = load_params()
    named = {"init": ("init_from", params.train.init_from), "teacher": ("teacher", params.train.teacher)}
    record = {}
    with replacing_folder(WEIGHTS_BROUGHT) as out:
        for role, (key, source) in named.items():
            folder = out / role
            folder.mkdir()
            # DVC warns of an empty folder at every turn.
            (folder / "README.txt").write_text(f"What train.{key} names; nothing else if null.\n", encoding="utf-8")
            record[role] = fetch_weights(source, folder, f"train.{key}", AUDIT / AUDITED_IMAGES)
    write_json(WEIGHTS_RECORD, record)
    print(", ".join(f"{role}: {known['source'] if known else 'none'}" for role, known in record.items()))


def fetch_weights(named: str | None, target: Path, parameter: str, images: Path) -> dict[str, str] | None:
    """Fetch what `parameter` names to the folder `target`: model.safetensors, and config.json where it is known.

    Returns `source` and the `sha256` of the weights; None, and leaves the folder empty, if nothing is named.
    """
    if named is None:
        return None
    if named.startswith("models:/"):
        from vit.registry.weights import fetch_version  # late: mlflow costs seconds, and most often no version is named

        fetch_version(named, target, parameter, images)
    else:
        fetch_file(named, target, parameter)
    return {"source": named, "sha256": sha256_of(target / WEIGHTS)}


if __name__ == "__main__":
    run_program(main)
