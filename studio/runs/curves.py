"""Curves of several runs laid over each other."""

from typing import TYPE_CHECKING

import streamlit as st

from studio.charts import line_chart
from studio.registry import curve
from studio.runs.chosen import titles_of

if TYPE_CHECKING:
    from vit.registry.runs import RunSummary

CURVES = {
    "val_accuracy": "accuracy on val",
    "val_loss": "loss on val",
    "train_accuracy": "accuracy on train",
    "train_loss": "loss on train",
    "learning_rate": "learning rate",
    "images_per_second": "images per second",
}


def show_curves(chosen: "list[RunSummary]") -> None:
    """One metric over the epochs (the learning rate over optimizer steps), a line per run."""
    metric = st.selectbox("Curve", list(CURVES), format_func=CURVES.__getitem__, key="curve")
    across = "step" if metric == "learning_rate" else "epoch"
    titles = titles_of(chosen)
    rows = [
        {"run": titles[run.id], across: step, CURVES[metric]: value}
        for run in chosen
        for step, value in curve(run.id, metric, run.status, [run.metrics.get(metric, 0.0)])
    ]
    if not rows:
        st.write("None of these runs has this curve; a run that was killed before its first epoch has none.")
        return
    names = ", ".join(titles.values())
    line_chart(
        rows, across, CURVES[metric], "run", title=CURVES[metric], about=f"{CURVES[metric]} by {across} of {names}"
    )
