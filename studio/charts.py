"""Charts whose data are one click away, in colours that colour-blind people can tell, in light and dark.

The order of the colours is `chartCategoricalColors` in .streamlit/config.toml: Okabe and Ito 2008, "Color Universal
Design", with dashes beside the colours so that lines differ in print too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas  # noqa: F401  # altair takes one that is half imported, by studio.warmup's thread, for a whole one
import streamlit as st

from studio.text import literal

Rows = Sequence[Mapping[str, Any]]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [12, 4], [4, 4, 1, 4]]


def line_chart(rows: Rows, x: str, y: str, by: str | None = None, *, title: str, about: str, height: int = 300) -> None:
    """Lines of column `y` over column `x`, one per value of column `by`; `about` is what a screen reader says."""
    import altair as alt

    encodings: dict[str, Any] = {
        "x": alt.X(field=_column(x), type="quantitative", title=x),
        "y": alt.Y(field=_column(y), type="quantitative", title=y, scale=alt.Scale(zero=False)),
        "tooltip": [alt.Tooltip(field=_column(name), type="nominal", title=name) for name in (by, x, y) if name],
    }
    if by:
        legend = alt.Legend(orient="bottom", columns=1, labelLimit=320, symbolStrokeWidth=3)
        names = list(dict.fromkeys(row[by] for row in rows))
        encodings["color"] = alt.Color(field=_column(by), type="nominal", title=None, legend=legend, sort=names)
        dashes = alt.Scale(domain=names, range=[DASHES[index % len(DASHES)] for index in range(len(names))])
        encodings["strokeDash"] = alt.StrokeDash(
            field=_column(by), type="nominal", title=None, legend=legend, scale=dashes
        )
    line = alt.Chart(alt.Data(values=list(rows))).mark_line(point=len(rows) < 200).encode(**encodings)
    show_chart(line.properties(height=height), rows, title, about)


def bar_chart(
    rows: Rows, x: str, y: str, by: str | None = None, *, title: str, about: str, height: int | None = None
) -> None:
    """Horizontal bars: a name of column `y`, a number of column `x`; one per value of column `by` in each group."""
    import altair as alt

    names = list(dict.fromkeys(row[y] for row in rows))
    encodings: dict[str, Any] = {
        "x": alt.X(field=_column(x), type="quantitative", title=x),
        "y": alt.Y(
            field=_column(y), type="nominal", title=None, sort=names, axis=alt.Axis(labelLimit=160, labelOverlap=False)
        ),
        "tooltip": [alt.Tooltip(field=_column(name), type="nominal", title=name) for name in (y, by, x) if name],
    }
    if by:
        groups = list(dict.fromkeys(row[by] for row in rows))
        legend = alt.Legend(orient="bottom", labelLimit=320)
        encodings["color"] = alt.Color(field=_column(by), type="nominal", title=None, sort=groups, legend=legend)
        encodings["yOffset"] = alt.YOffset(field=_column(by), type="nominal", sort=groups)
    bars = alt.Chart(alt.Data(values=list(rows))).mark_bar().encode(**encodings)
    show_chart(bars.properties(height=height or 70 + max(24 * len(names), 16 * len(rows))), rows, title, about)


def heat_map(rows: Rows, x: str, y: str, value: str, *, title: str, about: str, height: int = 340) -> None:
    """A square per pair of names in columns `x` and `y`, the darker the larger the number in column `value`."""
    import altair as alt

    across, down = (list(dict.fromkeys(row[name] for row in rows)) for name in (x, y))
    largest = max((row[value] for row in rows), default=0)
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        x=alt.X(field=_column(x), type="nominal", sort=across, title=x, axis=alt.Axis(labelLimit=90)),
        y=alt.Y(field=_column(y), type="nominal", sort=down, title=y, axis=alt.Axis(labelLimit=120)),
        tooltip=[alt.Tooltip(field=_column(name), type="nominal", title=name) for name in (y, x, value)],
    )
    scale = alt.Scale(scheme="blues", domain=[0, largest or 1])  # one hue: told apart by its lightness
    squares = base.mark_rect().encode(
        color=alt.Color(field=_column(value), type="quantitative", title=value, scale=scale)
    )
    chart = squares
    if len(across) <= 20:
        number = f"datum[{json.dumps(value)}]"
        ink = alt.condition(f"{number} > {largest / 2}", alt.value("#ffffff"), alt.value("#000000"))
        chart = squares + base.mark_text(fontSize=11).transform_filter(f"{number} != 0").encode(
            text=alt.Text(field=_column(value), type="quantitative", format=".3~g"), color=ink
        )
    show_chart(chart.properties(height=height), rows, title, about)


def show_chart(chart: Any, rows: Rows, title: str, about: str) -> None:
    """An Altair chart under its title, and its data in a table below, closed until somebody asks."""
    st.markdown(f"**{literal(title)}**")
    st.altair_chart(chart, width="stretch", alt=about)
    data_of(rows, title)


def data_of(rows: Rows, title: str) -> None:
    """The data of a picture, closed until somebody asks; the table can be searched, sorted and saved as CSV."""
    with st.expander(f"Data: {literal(title)}", icon=":material/table:"):
        st.dataframe(list(rows), hide_index=True, width="stretch", alt=f"The data of: {title}")


def _column(name: str) -> str:
    """A column's name where Vega would read dots and brackets as a path."""
    return re.sub(r"([\\.\[\]'\"])", r"\\\1", name)
