"""weights: fetch initial weights and the teacher's weights to data/weights."""

import logging
from pathlib import Path

from vit.config.files import AUDIT, AUDITED_IMAGES, CLASSES, SPLITS, WEIGHTS, WEIGHTS_BROUGHT, WEIGHTS_RECORD
from vit.config.params_file import load_params
from vit.errors import run_program
from vit.files import read_json, replacing_folder, sha256_of, write_json
from vit.training.published import PUBLISHED, fetch_published
from vit.training.text_head import fill_head
from vit.training.weight_sources import UNKNOWN, fetch_file

log = logging.getLogger("vit")


def main() -> None:
    """Run the stage; the old folder stays until the new one is complete."""
    params = load_params()
    named = {"init": ("init_from", params.train.init_from), "teacher": ("teacher", params.train.teacher)}
    record: dict[str, dict | None] = {}
    with replacing_folder(WEIGHTS_BROUGHT) as out:
        for role, (key, source) in named.items():
            folder = out / role
            folder.mkdir()
            # DVC warns about an empty folder at every command.
            (folder / "README.txt").write_text(
                f"The weights named by train.{key}; only this file if it is null.\n", encoding="utf-8"
            )
            record[role] = fetch_weights(source, folder, f"train.{key}", AUDIT / AUDITED_IMAGES)
        init, started = params.train.init_from, record["init"]
        if params.train.init_head == "text" and init and started:
            head = fill_head(out / "init", init, read_json(SPLITS / CLASSES), params.train.head_templates)
            started |= {"sha256": sha256_of(out / "init" / WEIGHTS), **head}
    write_json(WEIGHTS_RECORD, record)
    for role, known in record.items():
        if known and known["images_seen"] == UNKNOWN:
            log.warning(
                f"what images train.{named[role][0]} {known['source']} was trained on is unknown; if val or test "
                "images were among them, the scores are too high"
            )
    print(", ".join(f"{role}: {known['source'] if known else 'none'}" for role, known in record.items()))


def fetch_weights(named: str | None, target: Path, parameter: str, images: Path) -> dict | None:
    """Fetch the weights named by `parameter` to the folder `target`: model.safetensors, and config.json if known.

    Returns `source`, the `sha256` of the weights and what their publisher says about them; None, and leaves the folder
    empty, if nothing is named.
    """
    if named is None:
        return None
    about = {"images_seen": UNKNOWN}
    if named.startswith("models:/"):
        from vit.registry.weights import fetch_version  # late: mlflow takes seconds to import and is rarely needed

        about["images_seen"] = fetch_version(named, target, parameter, images)
    elif named.startswith(PUBLISHED):
        about |= fetch_published(named, target, parameter)
    else:
        fetch_file(named, target, parameter)
    return {"source": named, "sha256": sha256_of(target / WEIGHTS), **about}


if __name__ == "__main__":
    run_program(main)
