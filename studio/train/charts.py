"""Curves of several trainings on one chart, read again after each checkpoint."""

from contextlib import suppress
from typing import Any

import streamlit as st

from studio.charts import show_chart
from vit.tracking.progress import Seen, newest_checkpoint

PANELS = {
    "Loss": {"train_loss": "train", "val_loss": "val"},
    "Accuracy": {"train_accuracy": "train", "val_accuracy": "val"},
    "Learning rate": {"learning_rate": "at the end of the epoch"},
    "Images per second": {"images_per_second": "in training"},
}
FEW = 30  # epochs whose points are marked
MOST = 300  # epochs drawn per training, because charts are sent to the browser every second


@st.cache_data(show_spinner=False, max_entries=64)
def _curves(_seen: Seen, checkpoint: str, changed: int) -> list[dict[str, float]]:
    from vit.tracking.watching import curves  # late: it imports torch

    return curves(_seen)


def curves_of(seen: Seen) -> list[dict[str, float]]:
    """A row per epoch, read again only when there is a new checkpoint."""
    last = _last_read()
    path = newest_checkpoint(seen)
    with suppress(FileNotFoundError):  # replaced by the next one just now
        if path is not None and (rows := _curves(seen, str(path), path.stat().st_mtime_ns)):
            last[seen.key] = rows
    return last.get(seen.key, [])


def thinned(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """At most MOST rows, evenly spaced, the last one among them."""
    every = -(-len(rows) // MOST) or 1
    return rows[::-every][::-1]


@st.cache_resource(show_spinner=False)
def _last_read() -> dict[str, list[dict[str, float]]]:
    """By training: its checkpoints are removed when it is published."""
    return {}


def show_curves(shown: list[Seen]) -> None:
    """Four charts, a colour per training; on two of them train is dashed."""
    whole = {seen.name: curves_of(seen) for seen in shown}
    if not any(whole.values()):
        st.caption("Curves appear after the first epoch of training.")
        return
    read = {name: thinned(rows) for name, rows in whole.items()}
    if read != whole:
        st.caption(f"Of a training with more than {MOST} epochs some are left out. Page Runs has all of them.")
    columns = st.columns(2)
    for number, (title, lines) in enumerate(PANELS.items()):
        rows = [
            {"training": name, "epoch": row["epoch"], "split": split, "value": row[column]}
            for name, epochs in read.items()
            for row in epochs
            for column, split in lines.items()
        ]
        with columns[number % 2]:
            about = f"{title} by epoch of {', '.join(read)}"
            show_chart(_chart(rows, is_split=len(lines) > 1), rows, title, about)


def _chart(rows: list[dict[str, Any]], is_split: bool) -> Any:
    import altair as alt

    below = alt.Legend(orient="bottom", labelLimit=320)
    encodings: dict[str, Any] = {
        "x": alt.X(field="epoch", type="quantitative", axis=alt.Axis(tickMinStep=1, format="d")),
        "y": alt.Y(field="value", type="quantitative", title=None, scale=alt.Scale(zero=False)),
        "color": alt.Color(field="training", type="nominal", title=None, legend=below),
        "tooltip": [alt.Tooltip(field=name, type="nominal") for name in ("training", "split", "epoch", "value")],
    }
    if is_split:
        encodings["strokeDash"] = alt.StrokeDash(
            field="split", type="nominal", title=None, sort=["val", "train"], legend=below
        )
    few = max(row["epoch"] for row in rows) < FEW
    return alt.Chart(alt.Data(values=rows)).mark_line(point=few).encode(**encodings).properties(height=300)
