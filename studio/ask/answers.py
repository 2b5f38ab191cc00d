"""The predictions for the chosen images, each computed once per model."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

import streamlit as st

from studio.uploads import Upload
from vit.errors import UserError, one_line
from vit.inference.classifier import Classifier
from vit.inference.labelling import COLUMNS, Prediction, label_file
from vit.serving.settings import NO_INDEX, UNKNOWN


@dataclass(frozen=True)
class Answer:
    """An image with its prediction, whose classes are all of the model, best first; or the sentence of its error."""

    upload: Upload
    prediction: Prediction | None
    error: str = ""

    def label(self, threshold: float) -> str:
        """The predicted class, or `unknown` below the threshold, as the served model answers."""
        assert self.prediction is not None
        return self.prediction.classes[0] if self.prediction.probabilities[0] >= threshold else UNKNOWN


def answers_of(classifier: Classifier, model: str, uploads: Sequence[Upload]) -> list[Answer]:
    """Predict the images that this `model` (a key that changes with its content) has not seen in this session."""
    before: dict[tuple[str, str], Answer] = st.session_state.get("ask answers", {})
    wanted = {(model, one.digest + one.name): one for one in uploads}
    new = [key for key in wanted if key not in before]
    found = {key: before[key] for key in wanted if key in before}
    bar = st.progress(0.0, f"predicting {len(new)} images") if len(new) > 8 else None
    for done, key in enumerate(new, 1):
        found[key] = _answer(classifier, wanted[key])
        if bar:
            bar.progress(done / len(new), f"predicted {done} of {len(new)} images")
    if bar:
        bar.empty()
    st.session_state["ask answers"] = found
    return [found[key] for key in wanted]


def _answer(classifier: Classifier, upload: Upload) -> Answer:
    try:
        return Answer(upload, label_file(classifier, upload.name, upload.content, len(classifier.classes)))
    except UserError as error:
        return Answer(upload, None, one_line(error))


def as_csv(answers: Sequence[Answer], top_k: int, threshold: float) -> str:
    """The table of `vit predict --csv`; the first label is `unknown` and its index -1 below the threshold."""
    buffer = StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in answers:
        if one.prediction is not None:
            rows = one.prediction.rows()[:top_k]
            if one.label(threshold) == UNKNOWN:
                rows[0][2:4] = [UNKNOWN, NO_INDEX]
            table.writerows(rows)
    return buffer.getvalue()
