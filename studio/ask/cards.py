"""One card per image: what the model answers, where it looked, and the correction of a wrong answer."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from studio.ask.answers import Answer
from studio.models import Loaded
from studio.text import literal
from studio.uploads import Upload, data_rows, preview
from vit.config.files import CLASSES, CORRECTED_IMAGES, SPLITS
from vit.data.corrections import Correction
from vit.data.feedback import decided, keep_image
from vit.data.images import settings_of
from vit.errors import UserError
from vit.evaluation.explain import enlarged, explanation_png
from vit.files import project_root, read_json
from vit.inference.classifier import Classifier

PER_PAGE, COLUMNS = 12, 3


def show_cards(
    loaded: Loaded,
    answers: Sequence[Answer],
    top_k: int,
    threshold: float,
    by: str,
    trained_on: frozenset[str],
) -> None:
    """The cards of one page of images, three in a row; `trained_on` holds digests of the model's train images."""
    pages = -(-len(answers) // PER_PAGE)
    page = int(st.number_input(f"Page (of {pages})", 1, pages, 1, key="ask page")) if pages > 1 else 1
    shown = answers[(page - 1) * PER_PAGE : page * PER_PAGE]
    classifier = loaded.classifier
    classes, in_data, corrections = _classes(classifier), data_rows(), _corrections()
    for start in range(0, len(shown), COLUMNS):
        row = st.columns(COLUMNS)
        for column, answer in zip(row, shown[start : start + COLUMNS], strict=False):
            with column, st.container(border=True):
                _card(classifier, loaded.digest, answer, top_k, threshold)
                if answer.upload.digest in trained_on:
                    st.caption(":material/warning: This model was trained on this image.")
                digest = answer.upload.digest
                _correction(answer.upload, classes, in_data.get(digest), corrections.get(digest), by)


def _classes(classifier: Classifier) -> list[str]:
    """Those of the data, as a correction must name one of them."""
    path = project_root() / SPLITS / CLASSES
    return read_json(path) if path.is_file() else classifier.classes


@st.cache_data(max_entries=500, ttl=600, show_spinner=False)
def _looked(model: str, digest: str, label: int, _classifier: Classifier, _image: np.ndarray) -> bytes:
    return explanation_png(_classifier, _image, label)


def _card(classifier: Classifier, model: str, answer: Answer, top_k: int, threshold: float) -> None:
    prediction = answer.prediction
    assert prediction is not None
    label = answer.label(threshold)
    name = literal(answer.upload.name)
    truth = answer.upload.label
    verdict = "" if truth is None else ", correct" if truth == label else f", labelled {literal(truth)}"
    st.markdown(f"**{literal(label)}** ({prediction.probabilities[0]:.1%}){verdict}")
    left, right = st.columns(2)
    drawn = {
        key: value for key, value in settings_of(classifier.config).items() if key in ("value_range", "background")
    }
    left.image(preview(answer.upload.content, **drawn), caption=name, width="stretch", alt=answer.upload.name)
    seen = f"what the model saw of {answer.upload.name}"
    if classifier.has_attention:
        picture = _looked(model, answer.upload.digest, prediction.indices[0], classifier, prediction.image)
        right.image(picture, caption="where it looked", width="stretch", alt=f"where the model looked in {seen}")
    else:
        right.image(enlarged(prediction.image), caption="as the model saw it", width="stretch", alt=seen)
    for one, share in list(zip(prediction.classes, prediction.probabilities, strict=True))[:top_k]:
        st.progress(share, literal(f"{one} {share:.1%}"))


def _corrections() -> dict[str, Correction]:
    try:
        return decided()
    except UserError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return {}


def _correction(
    upload: Upload, classes: list[str], known: dict[str, str] | None, kept: Correction | None, by: str
) -> None:
    """The button that corrects the answer; `known` is the image's row in the data, `kept` an earlier correction."""
    key = f"ask {upload.digest}"
    with st.popover(literal(f"Wrong: {upload.name} is ..."), width="stretch"):
        st.caption(
            literal(f"An image of the data ({known['part']} split): its label is corrected there.")
            if known
            else "Kept in feedback/ to train on, never for val or test."
        )
        chosen = st.selectbox("It is", classes, index=None, key=f"{key} label")
        if st.button("Keep the correction", disabled=chosen is None, key=f"{key} keep"):
            try:
                keep_image(upload.content, upload.name, str(chosen), by)
            except UserError as error:
                st.error(literal(str(error)), icon=":material/error:")
            else:
                st.rerun()
    if kept is not None:
        where = CORRECTED_IMAGES if kept.path.startswith(str(CORRECTED_IMAGES)) else "the data"
        said = "to be removed from the data" if kept.action == "remove" else f"corrected to {kept.label} in {where}"
        st.success(literal(said), icon=":material/check:")
