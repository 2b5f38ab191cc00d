"""split: say once which image belongs to train, val and test, and in which order the classes stand."""

from pathlib import Path

from vit.data.split import assign, list_images
from vit.errors import run_program
from vit.files import write_json, write_table
from vit.params import load_params

SPLITS = Path("data/splits")


def main() -> None:
    params = load_params()
    rows = list_images(Path("data/raw"))
    parts = assign(rows, params.split)
    for part, members in parts.items():
        write_table(SPLITS / f"{part}.csv", [row._asdict() for row in members])
    write_json(SPLITS / "classes.json", sorted({row.label for row in rows}))
    print(", ".join(f"{len(members)} {part}" for part, members in parts.items()))


if __name__ == "__main__":
    run_program(main)
