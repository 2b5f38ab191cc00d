"""Two runs against each other on the same test images, and where each is wrong."""

from typing import TYPE_CHECKING

import streamlit as st

from studio.charts import bar_chart, heat_map
from studio.command import show_command
from studio.project import parameters
from studio.registry import table
from studio.runs.chosen import titles_of
from studio.text import literal
from vit.errors import UserError

if TYPE_CHECKING:
    from vit.evaluation.comparison import RunComparison
    from vit.registry.runs import RunSummary


def show_comparison(finished: "list[RunSummary]") -> None:
    """The paired comparison of two of the chosen runs, with its interval."""
    if len(finished) < 2:
        st.write("Choose two finished runs to compare them on the same test images.")
        return
    titles = titles_of(finished)
    left, right = st.columns(2)
    first = left.selectbox("Run A", list(titles), index=1, format_func=titles.__getitem__, key="run_a")
    second = right.selectbox("Run B", list(titles), index=0, format_func=titles.__getitem__, key="run_b")
    if first == second:
        st.write("A and B are the same run; choose another one.")
        return
    settings = parameters().evaluate
    try:
        found, same_data = _compare(first, second, settings.confidence_level, settings.seed)
    except UserError as error:
        st.error(literal(str(error)))
        return
    best = {"A": titles[first], "B": titles[second]}.get(found.better or "")
    verdict = f"{best} is better." if best else "No significant difference: the interval contains 0."
    st.markdown(f"**{literal(verdict)}**")
    with st.container(horizontal=True):
        st.metric("accuracy of A", f"{found.accuracy_a:.4f}", width="content")
        st.metric("accuracy of B", f"{found.accuracy_b:.4f}", width="content")
        st.metric("B minus A", f"{found.difference:+.4f}", width="content")
        st.metric(f"{found.confidence_level:.0%} interval", f"{found.low:+.4f} to {found.high:+.4f}", width="content")
    with st.expander("All figures of the comparison", icon=":material/table:"):
        st.text(found.as_text())
    if not same_data:
        st.warning("The runs used different data sets, although their test images have the same paths and labels.")
    show_command(["vit", "compare", first, second])


@st.cache_data(max_entries=50, show_spinner="Comparing the runs")
def _compare(first: str, second: str, confidence_level: float, seed: int) -> "tuple[RunComparison, bool]":
    from vit.registry.runs import compare_runs

    _, found, same_data = compare_runs((first, second), confidence_level, seed)
    return found, same_data


def show_confusions(finished: "list[RunSummary]") -> None:
    """How often each class was predicted as each other, a matrix per run."""
    titles = titles_of(finished)
    for column, run in zip(st.columns(min(2, len(finished))) * len(finished), finished, strict=False):
        with column:
            try:
                counts = table(run.id, "evaluation/confusion_matrix.csv")
            except UserError as error:
                st.write(literal(str(error)))
                continue
            rows = [
                {"label": row[""], "prediction": name, "images": int(count)}
                for row in counts
                for name, count in row.items()
                if name != ""
            ]
            title = f"Confusion on test: {titles[run.id]}"
            heat_map(rows, "prediction", "label", "images", title=title, about=f"{title}, label by prediction")


def show_slices(finished: "list[RunSummary]") -> None:
    """Accuracy of one slice after another, beside each other by run."""
    titles = titles_of(finished)
    rows = []
    for run in finished:
        try:
            rows += [
                {
                    "slice": row["slice"],
                    "value": row["value"],
                    "run": titles[run.id],
                    "accuracy": float(row["accuracy"]),
                    "low": float(row["low"]),
                    "high": float(row["high"]),
                    "images": int(row["images"]),
                }
                for row in table(run.id, "evaluation/slices.csv")
            ]
        except UserError as error:
            st.write(literal(str(error)))
    if not rows:
        st.write("These runs have no slices; name some in `evaluate.slices`.")
        return
    known = list(dict.fromkeys(row["slice"] for row in rows))
    wanted = st.selectbox("Slice by", known, key="slice")
    shown = [row for row in rows if row["slice"] == wanted]
    title = f"Accuracy on test by {wanted}"
    bar_chart(shown, "accuracy", "value", "run", title=title, about=f"{title}, a bar per run")
