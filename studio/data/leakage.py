"""How the images are split and why, and how far this split leaks beside a random one."""

import streamlit as st

from studio.charts import bar_chart, data_of
from studio.project import parameters
from studio.text import literal
from vit.errors import UserError


def show_split(audit: dict, figures: dict) -> None:
    """The strategy, what `auto` would choose, and leakage as a chart."""
    st.header("Split")
    counts = ", ".join(f"{figures[f'{part}_images']:,} {part}" for part in ("train", "val", "test"))
    st.markdown(f"{counts}. Strategy **{audit['strategy']}**: {literal(audit['reason'])}.")
    if "auto" not in audit:
        st.info("The audit is of an earlier release; fetch the images again to compare the split with a random one.")
        return
    if audit["auto"]["strategy"] != audit["strategy"]:
        st.markdown(f"`auto` would choose **{audit['auto']['strategy']}**: {literal(audit['auto']['reason'])}.")
    here = f"this split ({audit['strategy']})"
    leaks = [
        ("random split", "test", audit["random_leakage"]),
        ("random split", "val", audit["random_val_leakage"]),
        (here, "test", figures["leakage"]),
        (here, "val", figures["val_leakage"]),
    ]
    rows = [
        {"split": name, "held out": part, "leakage in %": round(100 * share, 2)}
        for name, part, share in leaks
        if share is not None
    ]
    st.subheader("Leakage")
    st.markdown(
        "The share of held-out images that can be labelled by recognizing train images alone. A score on a split that "
        "leaks is too good."
    )
    about = "; ".join(f"{row['split']}, {row['held out']}: {row['leakage in %']} %" for row in rows)
    title = "Leakage of this split and of a random one"
    bar_chart(rows, "leakage in %", "split", by="held out", title=title, about=about, height=220)
    shares = {name: value for name, value in figures.items() if not name.endswith("_images")}
    data_of(
        [{"figure": name.replace("_", " "), "share in %": round(100 * share, 2)} for name, share in shares.items()],
        "all figures of leakage",
    )
    _margin(figures)


def _margin(figures: dict) -> None:
    try:
        margin = parameters().split.leakage_margin
    except UserError:  # the section Source shows it
        return
    worst = max(figures["leakage"], figures["val_leakage"])
    if worst > margin:
        st.warning(f"{worst:.1%} is above split.leakage_margin, {margin:.0%}; set split.strategy to auto.")
    else:
        st.success(f"Within split.leakage_margin, {margin:.0%}.", icon=":material/check:")
