"""Data sets from the Hugging Face hub, by its own library: a pinned commit, its splits, the bytes of its images."""

import logging
import re
import shutil
import sys
from io import BytesIO
from itertools import chain
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vit.config.schema import DataParams
from vit.data.sources.class_names import class_folders
from vit.data.sources.hub_errors import HubError, Repository, explained, require_library, without_secrets
from vit.data.sources.hub_features import Columns, choose_columns, label_names, use_of_splits
from vit.data.text import as_read
from vit.errors import UserError, one_line
from vit.files import write_table

log = logging.getLogger("vit")

TABLE = "hub.csv"
WAY_OUT = "or download the data set by hand and set data.source=folder, data.path=FOLDER_OR_ARCHIVE"


def fetch_huggingface(data: DataParams, raw: Path, tables: Path) -> dict:
    """Write the images of `data.hub_name` to `raw`/<class>/<split>/<file>, its other plain columns to a table.

    Without a train and a test split: `<class>/<file>`. Returns the record as `fetch` does. Raises UserError when the
    library is missing, the hub cannot be reached, refuses or has no such data set, or when the revision is not pinned.
    """
    require_library("datasets", "data.source huggingface")
    about = _about(data)
    parts = _load(data, offline=not about)
    use = use_of_splits({str(name): len(rows) for name, rows in parts.items()}, data.hub_splits)
    log.info(f"{data.hub_name}: " + ", ".join(f"split '{name}' as {split or 'pool'}" for name, split in use.items()))
    columns = choose_columns(parts[next(iter(use))].features, data)
    labels = {name: label_names(parts[name], columns.label, name) for name in use}
    folders = class_folders(chain(*labels.values()), f"data.hub_name '{data.hub_name}'")
    lines: list[dict] = []
    for name, split in use.items():
        prefix = f"{split}/" if split else f"{as_read(name)}_" if len(use) > 1 else ""
        destinations = [f"{folders[label]}/{prefix}" for label in labels[name]]
        lines += _write_split(parts[name], f"split '{name}' of '{data.hub_name}'", columns, destinations, raw)
    if columns.others:
        write_table(tables / TABLE, lines)
    else:
        log.info("no other columns of numbers or text, so no table for groups and slices")
    return {"version": data.hub_revision, **about, "config": data.hub_config, "hub_splits": use}


def newest_commit(data: DataParams, branch: str) -> dict[str, object]:
    """The parameter that pins the newest commit of a branch. Raises UserError when the hub cannot be asked."""
    require_library("datasets", "data.source huggingface")
    from huggingface_hub import HfApi

    asked = data.model_copy(update={"hub_revision": branch})
    try:
        return {"hub_revision": HfApi().dataset_info(str(data.hub_name), revision=branch, timeout=30).sha}
    except Exception as error:
        raise _explained(error, asked) from error


def _about(data: DataParams) -> dict:
    """Licence, owner and address, after checking that the revision is a commit of this data set.

    If the hub cannot be reached, a pinned data set comes from the cache; its licence is then unknown.
    """
    from huggingface_hub import HfApi

    called, pinned = f"data.hub_name '{data.hub_name}'", _asked(data).is_pinned
    try:
        info = HfApi().dataset_info(str(data.hub_name), revision=data.hub_revision, timeout=30)
    except Exception as error:
        failure = _explained(error, data)
        if failure.reason == "unreachable" and pinned:
            log.warning(f"licence and owner are not recorded: {failure}")
            return {}
        raise failure from error
    if not pinned:
        is_what = "is not set" if data.hub_revision is None else f"'{data.hub_revision}' may move"
        raise UserError(f"{called}: data.hub_revision {is_what}; set data.hub_revision={info.sha}, the current commit")
    card = info.card_data or {}
    licence = card.get("license")
    url = f"https://huggingface.co/datasets/{data.hub_name}"
    known = {
        "owner": info.author or str(data.hub_name).split("/")[0],
        "title": card.get("pretty_name"),
        "licence": ", ".join(licence) if isinstance(licence, list) else licence,
        "url": url,
        "citation": f"{data.hub_name}. Hugging Face, revision {info.sha}. {url}",
    }
    return {key: value for key, value in known.items() if value}


def _asked(data: DataParams) -> Repository:
    return Repository(
        "data set", str(data.hub_name), data.hub_revision, "data.hub_name", "set data.hub_revision to", WAY_OUT
    )


def _explained(error: Exception, data: DataParams) -> HubError:
    failure, said = explained(error, _asked(data)), without_secrets(one_line(error))
    if failure.reason == "unknown" and ("Config name is missing" in said or "BuilderConfig" in said):
        return HubError(f"data.hub_config {data.hub_config} of '{data.hub_name}': {said}", "refused")
    if failure.reason == "unknown" and "Dataset scripts are no longer supported" in said:
        return HubError(
            f"'{data.hub_name}' is a Python script, which is not run; set data.hub_revision to the commit of its "
            f"branch refs/convert/parquet, {WAY_OUT}",
            "refused",
        )
    return failure


def _load(data: DataParams, offline: bool):
    """The splits by name, as the library reads them from Parquet, folders of images, archives or tables."""
    import datasets
    import huggingface_hub

    # The libraries log each retry with its address, which may hold a password.
    datasets.logging.set_verbosity_error()
    huggingface_hub.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    if offline:  # else they retry for half a minute
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        loaded = datasets.load_dataset(str(data.hub_name), data.hub_config, revision=data.hub_revision)
    except Exception as error:
        raise _explained(error, data) from error
    # Offline they use any commit of the data set that is in the cache.
    files = [Path(file["filename"]) for rows in loaded.values() for file in rows.cache_files]
    if offline and not all(data.hub_revision in file.parts for file in files):
        raise UserError(
            f"the hub cannot be reached for '{data.hub_name}', and the cache holds another commit than "
            f"{data.hub_revision}; check the network"
        )
    return loaded


def _write_split(rows, called: str, columns: Columns, destinations: list[str], raw: Path) -> list[dict]:
    """Write the images of one split; a line for each with its path in `raw` and its other columns.

    A destination is the beginning of an image's path in `raw`, up to its file name.
    """
    import datasets

    rows = rows.cast_column(columns.image, datasets.Image(decode=False))
    names = {key: getattr(rows.features[key], "names", None) for key in columns.others}
    taken: set[str] = set()
    lines = []
    for index, (row, destination) in enumerate(zip(rows, destinations, strict=True)):
        image = row[columns.image]
        if image is None:
            raise UserError(f"{called}: row {index} has no image")
        file = _file_name(image, index)
        path = f"{destination}{file}"
        if path in taken:
            path = f"{destination}{index:06d}_{file}"
        taken.add(path)
        _write_image(image, raw / path)
        line: dict[str, object] = {"path": path}
        for key, known in names.items():
            value = row[key]
            line[f"{key}_" if key == "path" else key] = known[value] if known and value is not None else value
        lines.append(line)
    return lines


def _file_name(image: dict, index: int) -> str:
    """The file's name before its upload, else its row number; with its format's ending."""
    name = Path(re.split(r"[/\\]", image["path"] or "")[-1])
    if name.suffix and not name.name.startswith("."):
        return name.name
    stem = name.name if name.name and not name.name.startswith(".") else f"{index:06d}"
    try:
        with Image.open(BytesIO(image["bytes"]) if image["bytes"] else image["path"]) as opened:
            return f"{stem}.{(opened.format or 'img').lower().replace('jpeg', 'jpg')}"
    except (UnidentifiedImageError, OSError):
        return f"{stem}.img"  # the audit reports what is wrong with it


def _write_image(image: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if image["bytes"] is not None:
        path.write_bytes(image["bytes"])
    else:
        shutil.copyfile(image["path"], path)
