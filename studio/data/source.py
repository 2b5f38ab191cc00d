"""Which images: the choice of a source, what that changes in params.yaml, and the command that fetches them."""

from typing import NamedTuple

import streamlit as st

from studio.command import show_command
from studio.data.running import JOB, is_running
from studio.form import help_of
from studio.project import named_path, parameters
from studio.text import literal
from studio.verdict import verdict
from vit.config.changes import changed
from vit.config.document import scalar, unit
from vit.config.entries import fields, flat, nested, typed
from vit.config.files import PARAMS
from vit.config.params_file import problems
from vit.config.schema import DataParams
from vit.data.sources.unpacked import suggested_name, unpack_upload
from vit.dvc import begin
from vit.errors import UserError
from vit.files import project_root, write_text

DEFAULT = DataParams.model_fields["path"].default
FETCH = ("repro", "pack")  # download, split and pack


class Kind(NamedTuple):
    """A way to choose images: the source in params.yaml, and its keys that are asked for."""

    title: str
    source: str
    keys: tuple[str, ...] = ()


KINDS = (
    Kind("Folder", "folder", ("data.path", "data.class_level", "data.labels", "data.file_column", "data.label_column")),
    Kind("Zip archive", "folder"),
    Kind("Kaggle", "kaggle", ("data.kaggle_handle", "data.kaggle_version", "data.labels", "data.label_column")),
    Kind(
        "Hugging Face",
        "huggingface",
        ("data.hub_name", "data.hub_revision", "data.hub_config", "data.file_column", "data.label_column"),
    ),
    Kind("torchvision", "torchvision", ("data.torchvision_name",)),
    Kind("Digits", "digits"),
    Kind("Shapes", "shapes", ("data.shapes_per_class", "data.shapes_noise", "data.seed")),
)


def show_source() -> None:
    """The section: choose, see the changes, write them, fetch."""
    st.header("Source")
    try:
        now = flat(parameters().model_dump(by_alias=True))
    except UserError as error:
        st.error(literal(str(error)))
        return
    titles = {kind.title: kind for kind in KINDS}
    default = next(kind.title for kind in KINDS if kind.source == now["data.source"])
    title = st.segmented_control("Images from", titles, default=default, key="data kind")
    if title is None:
        st.info("Choose where the images come from.")
        return
    try:
        if title == "Zip archive":
            _upload()
        else:
            _write(titles[title], now)
    except UserError as error:
        st.error(literal(str(error)))
    _fetch()


def _write(kind: Kind, now: dict) -> None:
    """The keys of a source, the difference that they make, and the button that writes it."""
    values, found = _entered(kind, now)
    if found:
        return
    text, changes = changed(values, project_root() / PARAMS)
    if not changes:
        verdict().success("params.yaml has this source.", icon=":material/check:")
        return
    st.write("This changes in params.yaml; all other parameters stay as they are.")
    st.table([change._asdict() for change in changes])
    if st.button("Write params.yaml", type="primary", key="data write"):
        write_text(project_root() / PARAMS, text)
        st.rerun()


def _entered(kind: Kind, now: dict) -> tuple[dict[str, object], dict[str, str]]:
    """The values of a source's fields by dotted key, and a sentence, shown at the field, for each that is wrong."""
    values: dict[str, object] = {"data.source": kind.source}
    found: dict[str, str] = {}
    described, places = dict(fields()), {}
    for row in range(0, len(kind.keys), 3):
        for place, key in zip(st.columns(3), kind.keys[row : row + 3], strict=False):
            field, places[key] = described[key], place
            shown = now[key] if isinstance(now[key], str) else scalar(now[key])
            text = place.text_input(
                f"{key.removeprefix('data.')} {unit(field)}".strip(),
                shown,
                max_chars=500,
                help=help_of(field),
                key=f"{kind.title} {key} {shown}",  # a new value in params.yaml is shown at once
            )
            try:
                (value,) = typed(key, text, is_several=False)
                values[key] = _folder(value) if key == "data.path" else value
            except UserError as error:
                found[key] = str(error)
    found = problems(nested({**now, **values})) | found
    for key in found.keys() & places.keys():
        places[key].error(literal(found[key]))
    at_fields = {found.get(key) for key in places}
    for sentence in dict.fromkeys(one for one in found.values() if one not in at_fields):
        st.error(literal(sentence))
    return values, found


def _folder(typed_path: object) -> str:
    """The absolute path of a folder or archive that a field may name, as trainings of the queue need it."""
    path = named_path(str(typed_path))
    if not path.exists():
        raise UserError(f"data.path '{typed_path}': no such folder; put the images into images/NAME")
    return DEFAULT if typed_path == DEFAULT else str(path)


def _upload() -> None:
    """Unpack an uploaded archive to images/NAME and make it the source."""
    file = st.file_uploader("A zip archive with one folder per class", type=["zip"], key="data zip")
    if file is None:
        return
    name = st.text_input("Unpack it to images/", suggested_name(file.name), max_chars=64, key=f"zip {file.file_id}")
    st.caption("data.source becomes folder and data.path that folder; all other parameters stay as they are.")
    if st.button("Unpack it and use it", type="primary", key="data unpack"):
        with st.spinner("Unpacking"):
            folder = unpack_upload(file, file.name, name, project_root() / "images")
            values = {"data.source": "folder", "data.path": str(folder), "data.labels": None, "data.class_names": None}
            text, _ = changed(values, project_root() / PARAMS)
            write_text(project_root() / PARAMS, text)
        st.session_state.pop("data kind", None)
        st.rerun()


def _fetch() -> None:
    show_command(["dvc", *FETCH])
    if st.button("Fetch, split and pack the images", disabled=is_running(), key="data fetch"):
        try:
            begin(FETCH, JOB, project_root())
        except UserError as error:
            st.error(literal(str(error)))
        else:
            st.rerun()
