"""Embeddings: the test set as the head sees it, in two dimensions; a point opens its image."""

from typing import NamedTuple

import numpy as np
import streamlit as st

from studio.charts import data_of
from studio.command import show_command
from studio.inside.drawing import show_picture
from studio.inside.samples import spread
from studio.models import Loaded
from studio.picture_choice import Picture, rows_of_test, sample
from studio.project import parameters
from studio.text import literal
from vit.config.files import PACKED, RAW, SPLITS, TABLES
from vit.data.manifest import PARTS, read_rows
from vit.errors import UserError, one_line
from vit.files import project_root

PCA, TSNE = "PCA", "t-SNE"
LABEL, PREDICTION, RIGHT = "label", "prediction", "right or wrong"
MOST, FEWEST = 2000, 5  # images; t-SNE of more takes minutes
MOST_COLOURS = 8  # of the theme
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left", "triangle-right"]


class Points(NamedTuple):
    """The places (N, 2) of the test images at `indices`, their predictions, and the variance that PCA shows."""

    places: np.ndarray
    indices: list[int]
    predicted: list[str]
    shown_variance: float


@st.fragment
def show(loaded: Loaded, picture: Picture) -> None:
    """The test split in two dimensions; a chosen point opens its image."""
    st.header("Embeddings")
    st.markdown(
        "Before the head decides, an image is a point in a space of many dimensions. **Images that the model takes "
        "for alike lie close together**: mistakes show as points of one colour among another."
    )
    rows = rows_of_test()
    if len(rows) < FEWEST:
        st.info(f"The test split has {len(rows)} images; a picture of it needs {FEWEST}. The pipeline makes the split:")
        show_command(["dvc", "repro", "pack"])
        return
    first, second = st.columns(2)
    method = first.segmented_control("Method", [PCA, TSNE], default=PCA, key="embeddings method", required=True)
    try:
        points = _points(loaded.digest, method, len(rows), _packed_at(), loaded.classifier)
        by = second.selectbox("Colour by", [LABEL, PREDICTION, RIGHT, *_slices()], key="embeddings colour")
        values = _values(by, points)
    except UserError as error:
        st.error(literal(one_line(error)), icon=":material/error:")
        return
    how = (
        f"Two directions that hold {points.shown_variance:.0%} of the variance; distances mean something."
        if method == PCA
        else "Neighbours stay neighbours; distances between groups mean nothing."
    )
    st.caption(f"{how} {len(points.indices)} of {len(rows)} test images.")
    table = [
        {"image": index + 1, "x": round(float(x), 4), "y": round(float(y), 4), "label": rows[index].label,
         "prediction": predicted, by: value, "file": rows[index].path}
        for index, (x, y), predicted, value in zip(points.indices, points.places, points.predicted, values, strict=True)
    ]  # fmt: skip
    left, right = st.columns([3, 2])
    with left:
        clicked = _scatter(table, by, method)
    with right:
        _open(loaded, table, clicked)
    data_of(table, f"{method} of the test set")


def _packed_at() -> int:
    table = project_root() / SPLITS / "test.csv"
    return table.stat().st_mtime_ns


@st.cache_data(max_entries=8, show_spinner="Reading the test set through the model")
def _points(digest: str, method: str, total: int, changed: int, _classifier) -> Points:
    from vit.data.decoded import load_part
    from vit.evaluation.embedding import embed, in_two_dimensions, shown_variance

    root, indices = project_root(), spread(total, MOST)
    part = load_part(root / PACKED, "test", root / RAW, root / SPLITS)
    _check_size(part, _classifier)
    found = embed(_classifier, part, indices)
    places = in_two_dimensions(found.features, "pca" if method == PCA else "tsne")
    predicted = [_classifier.classes[index] for index in found.probabilities.argmax(axis=1)]
    return Points(places, indices, predicted, shown_variance(found.features))


def _check_size(part, classifier) -> None:
    from vit.data.decoded import pick

    config = classifier.config
    packed, wanted = list(pick(part, [0]).shape[1:]), [*config["image_size"], config["channels"]]
    if packed != wanted:
        spelled = [" x ".join(map(str, one)) for one in (packed, wanted)]
        raise UserError(
            f"the packed test images are {spelled[0]}, but this model reads {spelled[1]}; choose a model that was "
            "trained on them, or set pack.image_size and pack.channels and run `dvc repro pack`"
        )


def _slices() -> list[str]:
    try:
        return [name for name in parameters().evaluate.slices if name != LABEL]
    except UserError:
        return []


def _values(by: str, points: Points) -> list[str]:
    """The value of each point in the chosen slice."""
    from vit.evaluation.slices import slice_values

    rows = [rows_of_test()[index] for index in points.indices]
    if by == LABEL:
        return [row.label for row in rows]
    if by == PREDICTION:
        return points.predicted
    if by == RIGHT:
        pairs = zip(rows, points.predicted, strict=True)
        return ["right" if row.label == predicted else "wrong" for row, predicted in pairs]
    root = project_root()
    known = [row for part in PARTS for row in read_rows(root / SPLITS / f"{part}.csv")]
    return slice_values(by, rows, known, root / TABLES)


def _scatter(table: list[dict], by: str, method: str) -> int | None:
    """The chart; the number of the image whose point was clicked."""
    import altair as alt

    names = sorted({row[by] for row in table})
    rows = [{"image": row["image"], "x": row["x"], "y": row["y"], "is": row[by], "label": row["label"],
             "prediction": row["prediction"]} for row in table]  # fmt: skip
    clicked = alt.selection_point(name="clicked", fields=["image"], empty=False)
    legend = alt.Legend(orient="bottom", columns=4, title=None, symbolLimit=40)
    colours = alt.Scale() if len(names) <= MOST_COLOURS else alt.Scale(scheme="tableau20")
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, size=55, opacity=0.85)
        .encode(
            x=alt.X("x", type="quantitative", title=None, axis=alt.Axis(labels=False, ticks=False)),
            y=alt.Y("y", type="quantitative", title=None, axis=alt.Axis(labels=False, ticks=False)),
            color=alt.Color("is", type="nominal", sort=names, legend=legend, scale=colours),
            shape=alt.Shape("is", type="nominal", sort=names, legend=legend,
                            scale=alt.Scale(domain=names, range=[SHAPES[i % len(SHAPES)] for i in range(len(names))])),
            size=alt.condition(clicked, alt.value(260), alt.value(55)),
            tooltip=[alt.Tooltip(name, type="nominal") for name in ("image", "label", "prediction")],
        )
        .properties(height=430)
        .add_params(clicked)
    )  # fmt: skip
    event = st.altair_chart(chart, width="stretch", on_select="rerun", selection_mode="clicked", key="embeddings chart",
                            alt=f"{method} of {len(rows)} test images, coloured by {by}")  # fmt: skip
    chosen = event.get("selection", {}).get("clicked", []) if event else []
    return int(chosen[0]["image"]) if chosen else None


def _open(loaded: Loaded, table: list[dict], clicked: int | None) -> None:
    """The image of the clicked point; its number can be typed instead."""
    numbers = [row["image"] for row in table]
    if clicked in numbers and st.session_state.get("embeddings clicked") != clicked:
        st.session_state["embeddings clicked"] = clicked
        st.session_state["embeddings open"] = clicked
    number = st.selectbox("Open image (or click its point)", numbers, key="embeddings open")
    row = table[numbers.index(number)]
    try:
        found = sample(loaded.classifier.config, rows_of_test()[number - 1])
    except UserError as error:
        st.error(literal(one_line(error)), icon=":material/error:")
        return
    show_picture(found.pixels, found.name, side=280)
    verdict = "right" if row["label"] == row["prediction"] else "wrong"
    st.markdown(f"labelled **{literal(row['label'])}**, predicted **{literal(row['prediction'])}**: {verdict}")
