"""The data set and the champion in a few numbers."""

import streamlit as st

from studio.command import show_command
from studio.registry import champion
from studio.text import literal
from vit.config.files import RAW_RECORD, SPLIT_METRICS
from vit.config.schema import Params
from vit.errors import UserError
from vit.files import project_root, read_json
from vit.next_step import serve_command


def show_data_set(params: Params) -> None:
    """Where the images come from, and how many each split has."""
    st.subheader("Data set")
    try:
        record = read_json(project_root() / RAW_RECORD)
        counts = read_json(project_root() / SPLIT_METRICS)
    except FileNotFoundError:
        st.write(f"`data.source` is {literal(params.data.source)}. Its images are not here yet; fetch and split them:")
        show_command(["dvc", "repro", "split"])
        return
    except (OSError, ValueError) as error:
        st.error(literal(f"{error}; make it anew with `dvc repro --force split`"))
        return
    st.write(f"{literal(str(record['source']))}, version {literal(str(record['version']))}")
    splits = {name: f"{counts[f'{name}_images']:,}" for name in ("train", "val", "test")}
    _numbers({"classes": str(len(record["classes"])), "images": f"{record['images']:,}", **splits})
    if record["source"] != params.data.source:
        st.caption(f"params.yaml now says {literal(params.data.source)}: the next `dvc repro` fetches that.")


def show_champion(params: Params) -> None:
    """The version that is served, with its scores and their intervals."""
    st.subheader("Champion")
    level = params.evaluate.confidence_level
    try:
        found = champion()
    except UserError as error:
        st.error(literal(str(error)))
        return
    if found is None:
        st.write("No version is champion yet. `dvc repro` trains and publishes one; the gate decides.")
        show_command(["dvc", "repro"])
        return
    _numbers(
        {
            "version": found["version"],
            "accuracy on val": _value(found["val_accuracy"]),
            "accuracy on test": _value(found["test_accuracy"]),
        }
    )
    for split in ("val", "test"):
        score = found[f"{split}_accuracy"]
        if score is not None and score["low"] is not None and score["high"] is not None:
            st.caption(f"{split}: {score['low']:.4f} to {score['high']:.4f} ({level:.0%} interval)")
    if found["test_looks"]:
        runs = "run was" if found["test_looks"] == 1 else "runs were"
        st.caption(f"{found['test_looks']} {runs} scored on these test images by then.")
    show_command(serve_command(params.register_.name))


def _value(score: dict | None) -> str:
    return "-" if score is None else f"{score['value']:.4f}"


def _numbers(values: dict[str, object]) -> None:
    """Numbers beside each other, which wrap on a narrow screen."""
    with st.container(horizontal=True):
        for label, value in values.items():
            st.metric(label, str(value), width="content")
