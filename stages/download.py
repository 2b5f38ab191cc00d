"""download: fetch the images of `data.source` to data/raw/<class>/[<split>/]<file>, described in data/raw.json."""

import logging
from pathlib import Path

from vit.config.files import RAW, RAW_RECORD, TABLES
from vit.config.folder import failing_in
from vit.config.params_file import load_params
from vit.data.sources.corrected import correct
from vit.data.sources.fetch import describe, fetch
from vit.data.sources.readings import counted
from vit.errors import run_program
from vit.files import project_root, replacing_folder, write_json

CLASSES_SHOWN = 20

log = logging.getLogger("vit")


def main() -> None:
    """Run the stage; the old images stay until the new ones are complete."""
    params = load_params()
    if failing := failing_in(project_root()):
        log.warning(
            f"warning: {' and '.join(failing)} will fail in this folder because of its name, '{project_root()}'; "
            "everything else works; rename the folder if you need them"
        )
    with replacing_folder(RAW) as raw, replacing_folder(TABLES) as tables:
        known = fetch(params.data, raw, tables)
        if params.data.corrections is not None:
            known["corrections"] = correct(raw, tables, Path(params.data.corrections))
        # DVC warns about an empty folder in every command.
        (tables / "README.txt").write_text("CSV files that lay beside the classes of the source.\n", encoding="utf-8")
    names = sorted(path.name for path in TABLES.glob("*.csv"))
    described = describe(RAW)
    record = {"source": params.data.source, **known, **described, "tables": names}
    write_json(RAW_RECORD, record)
    parts = "".join(f", {count} {part}" for part, count in described.get("parts", {}).items())
    print(
        f"{record['images']} images in {len(record['classes'])} classes from {record['source']} "
        f"({record['version']}){parts}"
    )
    if corrections := known.get("corrections"):
        print(f"corrections: {', '.join(f'{count} {what}' for what, count in corrections.items())}")
    print(f"classes: {counted(described['classes'], CLASSES_SHOWN)}")


if __name__ == "__main__":
    run_program(main)
