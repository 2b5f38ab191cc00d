"""The walk: one image from pixels to logits, a step at a time."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from studio.charts import bar_chart
from studio.inside.drawing import numbers_of, show_heat, show_picture
from studio.models import Loaded
from studio.picture_choice import Picture
from studio.text import literal
from vit.evaluation.walk import Step, b16_config, family_title, walk

if TYPE_CHECKING:
    from vit.inference.classifier import Classifier

HERE, B16 = "This model", "ViT-B/16 at 224 x 224"


@st.fragment
def show(loaded: Loaded, picture: Picture) -> None:
    """One image step by step, with the real numbers of the model or the shapes of ViT-B/16."""
    st.header("The walk")
    st.markdown(
        "Follow one image through the model. Each step is a tensor; **its shape says what the model knows there**, "
        "and its cost where the time goes."
    )
    which = st.segmented_control("Walk through", [HERE, B16], default=HERE, key="walk which", required=True)
    if which == B16:
        st.markdown(
            "The base model of the ViT paper: shapes and costs, counted without weights. Load a model of this "
            "geometry above to see its numbers."
        )
        _table(_steps_of_b16(), "ViT-B/16")
        return
    classifier = loaded.classifier
    if not classifier.has_attention:
        st.info(
            f"This model is a {family_title(classifier)}: it has no patches, tokens or attention. "
            "Its walk goes through stages that shrink the image and widen the channels."
        )
    steps = _steps(loaded.digest, picture.pixels, classifier)
    names = [f"{number}: {step.name}" for number, step in enumerate(steps)]
    chosen = st.select_slider("Step", names, key="walk step")
    number = names.index(chosen)
    _one(loaded, picture, steps[number], number)
    _table(steps, "this model")


@st.cache_resource(max_entries=8, show_spinner="Walking through the model")
def _steps(digest: str, pixels: np.ndarray, _classifier: "Classifier") -> list[Step]:
    from vit.evaluation.looking import batch_of

    return walk(_classifier, batch_of(pixels)[0])


@st.cache_resource(show_spinner="Counting the operations of ViT-B/16")
def _steps_of_b16() -> list[Step]:
    from vit.inference.summary import without_memory

    return walk(without_memory(b16_config()))


def _one(loaded: Loaded, picture: Picture, step: Step, number: int) -> None:
    with st.container(border=True):
        st.markdown(f"**{number}: {step.name}**. {step.meaning[0].upper()}{step.meaning[1:]}.")
        left, right = st.columns([1, 2])
        left.metric("Shape", " x ".join(map(str, step.shape)))
        left.metric("Multiply-adds of this step", f"{step.multiply_adds:,}")
        values = step.values.float().numpy()
        left.caption(f"from {values.min():.3g} to {values.max():.3g}, mean {values.mean():.3g}")
        with right:
            if step.name == "pixels":
                show_picture(picture.pixels, f"{picture.name}, as the model gets it")
                numbers_of(values[0], "the first channel, normalized", "channel 1")
            elif step.name == "logits":
                _logits(loaded, values)
            else:
                _matrix(step.name, values)


def _logits(loaded: Loaded, logits: np.ndarray) -> None:
    import torch

    probabilities = loaded.classifier.calibrated(torch.from_numpy(logits)[None])[0]
    order = np.argsort(-probabilities)[:10].tolist()
    rows = [
        {"class": loaded.classifier.classes[index], "logit": float(logits[index]),
         "probability": float(probabilities[index])}
        for index in order
    ]  # fmt: skip
    best = literal(rows[0]["class"])
    st.markdown(f"The model says **{best}**, with a confidence of {rows[0]['probability']:.1%}.")
    bar_chart(rows, "probability", "class", title="Probabilities", about="the probability of each class")


def _matrix(name: str, values: np.ndarray) -> None:
    if values.ndim == 3:  # channels, rows, columns: the channel that says most
        strongest = int(np.abs(values).mean(axis=(1, 2)).argmax())
        show_heat(values[strongest], f"{name}: channel {strongest + 1} of {len(values)}")
    elif values.ndim == 2:
        show_heat(values, f"{name}: a row per token, a column per feature")
    else:
        show_heat(values[None], f"{name}: {len(values)} numbers")


def _table(steps: list[Step], of: str) -> None:
    total = max(sum(step.multiply_adds for step in steps), 1)
    rows = [
        {
            "step": f"{number}: {step.name}",
            "shape": " x ".join(map(str, step.shape)),
            "multiply-adds": f"{step.multiply_adds:,}",
            "share": f"{step.multiply_adds / total:.1%}",
            "what happens": step.meaning,
        }
        for number, step in enumerate(steps)
    ]
    st.markdown(f"**All steps of {of}**: {total:,} multiply-adds for one image")
    st.table(rows)
