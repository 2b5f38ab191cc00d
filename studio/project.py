"""The project that the Studio shows: its root, its parameters, and the files that a field may name."""

import os
from pathlib import Path

import streamlit as st

from studio.text import literal
from vit.config.files import PARAMS
from vit.config.params_file import load_params
from vit.config.schema import Params
from vit.errors import UserError
from vit.files import project_root

ALLOWED = "VIT_STUDIO_ALLOW"  # folders that fields may name beside the repo, set by `vit studio --allow`


def parameters() -> Params:
    """The checked params.yaml, read again whenever it changes. Raises UserError as `load_params`."""
    path = project_root() / PARAMS
    return _parameters(path, path.stat().st_mtime_ns if path.exists() else 0)


@st.cache_data(show_spinner=False, max_entries=4)
def _parameters(path: Path, changed: int) -> Params:
    return load_params(path)


def parameters_or_stop() -> Params:
    """The checked params.yaml; if it is not valid, the page says why and ends there."""
    try:
        return parameters()
    except UserError as error:
        st.error(literal(str(error)), icon=":material/error:")
        st.stop()


def named_path(typed: str) -> Path:
    """The path that a person typed, absolute and without symbolic links; relative paths begin at the repo.

    Raises UserError if it lies neither in the repo nor in a folder that was allowed when the Studio was started.
    """
    if not typed.strip() or "\0" in typed:
        raise UserError("the path is empty; name a file or folder of this project")
    path = (project_root() / typed.strip()).resolve()
    if not any(path.is_relative_to(folder) for folder in (project_root(), *allowed_folders())):
        raise UserError(
            f"'{typed.strip()}' is outside this project; copy it into the project, or restart with "
            "`vit studio --allow FOLDER`"
        )
    return path


def allowed_folders() -> list[Path]:
    """What `--allow` named."""
    return [Path(folder).resolve() for folder in os.environ.get(ALLOWED, "").split(os.pathsep) if folder]
