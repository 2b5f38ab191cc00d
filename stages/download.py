"""download: bring the images of `data.source` to data/raw/<class>/<file> and describe them in data/raw.json."""

from pathlib import Path

from vit.data.sources import describe, fetch
from vit.errors import run_program
from vit.files import replacing_folder, write_json
from vit.params import load_params

RAW = Path("data/raw")


def main() -> None:
    params = load_params()
    with replacing_folder(RAW) as folder:
        version = fetch(params.data, folder)
    record = {"source": params.data.source, "version": version, **describe(RAW)}
    write_json(Path("data/raw.json"), record)
    print(f"{record['images']} images in {len(record['classes'])} classes from {record['source']} ({version})")


if __name__ == "__main__":
    run_program(main)
