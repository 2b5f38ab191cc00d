"""Curves of several trainings on one chart, with their numbers one click away."""

import altair as alt
import pandas as pd
import streamlit as st

from vit.tracking.progress import Seen, newest_checkpoint

# Okabe and Ito 2008: distinguishable for colour-blind people, on light and on dark.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]
FEW = 30  # epochs whose points are marked
BELOW = alt.Legend(orient="bottom")
PANELS = {
    "Loss": {"train_loss": "train", "val_loss": "val"},
    "Accuracy": {"train_accuracy": "train", "val_accuracy": "val"},
    "Learning rate": {"learning_rate": ""},
    "Images per second": {"images_per_second": ""},
}


@st.cache_data(show_spinner=False, max_entries=64)
def _curves(_seen: Seen, checkpoint: str, changed: int) -> list[dict[str, float]]:
    from vit.tracking.watching import curves  # late: it imports torch

    return curves(_seen)


def curves_of(seen: Seen) -> list[dict[str, float]]:
    """A row per epoch, read again only when there is a new checkpoint."""
    path = newest_checkpoint(seen)
    try:
        return [] if path is None else _curves(seen, str(path), path.stat().st_mtime_ns)
    except FileNotFoundError:  # replaced by the next one just now
        return []


def show_curves(shown: list[Seen]) -> None:
    """Four charts, a colour per training."""
    frames = [pd.DataFrame(curves_of(seen)).assign(training=seen.name) for seen in shown]
    table = pd.concat([frame for frame in frames if not frame.empty] or [pd.DataFrame()])
    if table.empty:
        st.caption("Curves appear with the first epoch's checkpoint.")
        return
    names = [seen.name for seen in shown]
    left, right = st.columns(2)
    for number, (title, lines) in enumerate(PANELS.items()):
        with (left, right)[number % 2]:
            st.altair_chart(_chart(table, title, lines, names), width="stretch")
    with st.expander("The numbers of these charts"):
        st.dataframe(table.drop(columns="time"), hide_index=True, width="stretch")


def _chart(table: pd.DataFrame, title: str, lines: dict[str, str], names: list[str]) -> alt.Chart:
    long = table.melt(["training", "epoch"], list(lines), "line", "value").replace({"line": lines})
    is_split = len(lines) > 1
    chart = alt.Chart(long, title=title, height=320).mark_line(point=bool(table["epoch"].max() < FEW))
    return chart.encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d")),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
        color=alt.Color("training:N", scale=alt.Scale(domain=names, range=COLOURS), legend=BELOW),
        strokeDash=alt.StrokeDash("line:N", title="split", sort=["val", "train"], legend=BELOW)
        if is_split
        else alt.Undefined,
        tooltip=["training", "epoch", alt.Tooltip("value:Q", format=".4g"), *(["line"] if is_split else [])],
    )
