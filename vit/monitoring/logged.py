"""The prediction log of one or several servers, as a table in the order of time."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vit.errors import UserError, one_line
from vit.serving.log_files import DROPPED, schema

log = logging.getLogger("vit")


def read_log(folder: Path, version: str | None = None, since: float = 0.0, without: Sequence[str] = ()) -> pa.Table:
    """The rows of `version`, by default of all, after the time `since` in seconds; columns as in `schema`, except those
    in `without`. A file that is damaged is left out with a warning."""
    columns = [name for name in schema().names if name not in without]
    tables = [rows for file in log_files(folder) if (rows := _rows(file, columns, version, since)) is not None]
    return pa.concat_tables([schema().empty_table().select(columns), *tables]).sort_by(
        [("at", "ascending"), ("request_id", "ascending"), ("row", "ascending")]
    )


def require_log(folder: Path) -> None:
    """Raises UserError, with the way out, if the folder has no log."""
    if not log_files(folder):
        raise UserError(
            f"no predictions are logged in {folder}; start the server with "
            f"""MLFLOW_PYFUNC_INFERENCE_CONFIG='{{"log_predictions": "{folder}"}}', or name its folder with --log"""
        )


def log_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.parquet"))


def _rows(file: Path, columns: list[str], version: str | None = None, since: float = 0.0) -> pa.Table | None:
    try:
        if file.stat().st_mtime < since:  # a file is written after its rows were answered
            return None
        table = pq.read_table(file, columns=columns, partitioning=None).replace_schema_metadata(None)
    except FileNotFoundError:  # a server deletes old files
        return None
    except (pa.ArrowException, OSError) as error:
        log.warning(f"{file} is left out: {one_line(error)}; delete it if it is damaged")
        return None
    wanted = pc.field("at") > pa.scalar(round(1e6 * since), pa.timestamp("us", "UTC"))
    return table.filter(wanted if version is None else wanted & (pc.field("version") == version))


def dropped(folder: Path) -> int:
    """How many predictions the servers could not log, as far as their files tell."""
    return sum(_dropped(file) for file in log_files(folder))


def _dropped(file: Path) -> int:
    try:
        return told_drops(pq.read_schema(file))
    except (pa.ArrowException, OSError):  # said by read_log
        return 0


def told_drops(schema: pa.Schema) -> int:
    """The predictions that a file with this schema says were dropped."""
    return int((schema.metadata or {}).get(DROPPED, 0))


def newest_version(folder: Path) -> str:
    """The version that answered last; empty for a model from no registry. Raises UserError if the log is empty."""
    for file in sorted(log_files(folder), key=lambda file: -file.stat().st_mtime):
        rows = _rows(file, ["at", "version"])
        if rows is not None and rows.num_rows:
            return rows["version"][pc.index(rows["at"], pc.max(rows["at"])).as_py()].as_py()
    raise UserError(f"no predictions are logged in {folder} yet; ask the server something")


def seconds_of(table: pa.Table) -> np.ndarray:
    """The column `at` in seconds since 1970, float64 (N,)."""
    return table["at"].cast(pa.int64()).to_numpy() / 1e6
