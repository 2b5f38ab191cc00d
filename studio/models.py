"""Which model a page looks at: champion, version, run or folder; each loaded once per content."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from studio import registry
from studio.command import show_command
from studio.project import named_path, parameters
from studio.text import literal
from vit.config.files import CONFIG, MODEL, WEIGHTS
from vit.errors import UserError, one_line
from vit.files import project_root, sha256_of

if TYPE_CHECKING:
    from vit.inference.classifier import Classifier

CHAMPION, VERSION, RUN, FOLDER = "Champion", "Version", "Run", "Folder"
AT_ONCE = 4  # models kept in memory, so that a laptop has room for a training beside them


@dataclass(frozen=True)
class Loaded:
    """A model in memory. `digest` changes with its weights and settings; `source` is what a command names it by."""

    classifier: "Classifier"
    digest: str
    source: str


def choose_model(key: str) -> Loaded | None:
    """The widgets that choose a model, and the model; None, with the reason on the page, if there is none."""
    kinds = [CHAMPION, VERSION, RUN, FOLDER]
    start = FOLDER if _begins_with_folder() else CHAMPION
    row = st.container(horizontal=True, vertical_alignment="bottom")
    problem = st.empty()  # before anything that takes long: what stood here was about another choice
    try:
        with row:
            kind = st.segmented_control("Model from", kinds, default=start, key=f"{key} model", required=True)
            source = _source(kind, key)
        return None if source is None else load(source)
    except UserError as error:
        sentence = one_line(error)
        with problem.container():
            st.error(literal(sentence), icon=":material/error:")
            if "`dvc repro`" in sentence:
                show_command(["dvc", "repro"])
        return None


def load(source: str) -> Loaded:
    """A model by folder, or by `models:/name@alias` or `/version`. Raises UserError if there is none."""
    from vit.registry.versions import downloaded, pinned

    if source.startswith("models:/"):
        source = pinned(source)  # a version never changes, and need not be downloaded again to know its digest
        return _load_version(source)
    with downloaded(str(named_path(source))) as folder:
        files = [folder / CONFIG, folder / WEIGHTS]
        is_there = all(file.is_file() for file in files)
        if not is_there and folder != project_root() / MODEL:  # which `dvc repro` makes, as the error of load says
            raise UserError(
                f"no trained model in '{source.strip()}'; name a folder that holds {CONFIG} and {WEIGHTS}, as "
                f"{MODEL} does after a training"
            )
        digest = sha256_of(*files) if is_there else ""
        return Loaded(_load_folder(digest, folder), digest, source)


def untrained(loaded: Loaded, seed: int) -> Loaded:
    """The same architecture with the initial weights that `train.seed` gives."""
    return Loaded(_untrained(loaded.digest, seed, loaded.classifier.config), f"{loaded.digest} {seed}", "untrained")


@st.cache_resource(max_entries=AT_ONCE, show_spinner="Loading the model")
def _load_version(source: str) -> Loaded:
    from vit.registry.versions import downloaded

    with downloaded(source) as folder:
        return Loaded(_ready(folder), sha256_of(folder / CONFIG, folder / WEIGHTS), source)


@st.cache_resource(max_entries=AT_ONCE, show_spinner="Loading the model")
def _load_folder(digest: str, _folder: Path) -> "Classifier":
    return _ready(_folder)


@st.cache_resource(max_entries=AT_ONCE, show_spinner=False)
def _untrained(digest: str, seed: int, _config: dict) -> "Classifier":
    import torch

    from vit.inference.classifier import Classifier

    with torch.random.fork_rng(devices=[]):  # other pages draw from the global generator
        torch.manual_seed(seed)
        classifier = Classifier.new(_config, torch.device("cpu"))
    classifier.model.eval()
    return classifier


def _ready(folder: Path) -> "Classifier":
    from vit.inference.classifier import Classifier

    classifier = Classifier.load(folder)
    classifier.model.eval()
    return classifier


def _begins_with_folder() -> bool:
    """Before the first version is published, the folder that `train` writes is the likelier choice."""
    try:
        return registry.champion() is None
    except UserError:
        return True


def _source(kind: str, key: str) -> str | None:
    name = parameters().register_.name
    if kind == CHAMPION:
        if registry.champion() is None:
            st.info("No version is champion yet. The pipeline publishes one that passes the gate:")
            show_command(["dvc", "repro"])
            return None
        return f"models:/{name}@champion"
    if kind == FOLDER:
        return st.text_input("Folder with the model", str(MODEL), key=f"{key} folder", max_chars=400)
    numbers = _versions_by_name() if kind == VERSION else _versions_by_run()
    if not numbers:
        st.info("Nothing is published yet. The pipeline publishes its model as a version:")
        show_command(["dvc", "repro"])
        return None
    chosen = st.selectbox(kind, list(numbers), key=f"{key} {kind}")
    return f"models:/{name}/{numbers[chosen]}"


def _versions_by_name() -> dict[str, int]:
    found = registry.versions()
    return {" ".join([f"version {one['version']}", *(f"@{alias}" for alias in one["aliases"])]): one["version"]
            for one in found}  # fmt: skip


def _versions_by_run() -> dict[str, int]:
    return {f"{run.name} (version {number})": number for run in registry.runs() for number in run.versions}


def is_project_model(loaded: Loaded) -> bool:
    """Whether it is the model that the project's pipeline trained last, which the tables of evaluate describe."""
    files = [project_root() / MODEL / name for name in (CONFIG, WEIGHTS)]
    return all(file.is_file() for file in files) and sha256_of(*files) == loaded.digest
