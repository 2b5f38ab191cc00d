"""Images of the test split in a model's size, for views that look at many."""

import numpy as np
import streamlit as st

from studio.models import Loaded
from studio.picture_choice import rows_of_test, sample
from studio.project import parameters
from vit.errors import UserError


def spread(total: int, most: int) -> list[int]:
    """At most `most` of the indices below `total`, evenly spaced."""
    return np.linspace(0, total - 1, min(most, total)).astype(int).tolist()


def images_of_test(loaded: Loaded, most: int) -> np.ndarray | None:
    """At most `most` test images uint8 (N, H, W, C), evenly spaced; None without a readable test split."""
    return _images(loaded.digest, most, len(rows_of_test()), loaded.classifier.config)


@st.cache_data(max_entries=8, show_spinner="Reading test images")
def _images(digest: str, most: int, total: int, _config: dict) -> np.ndarray | None:
    rows = rows_of_test()
    if not rows:
        return None
    try:
        return np.stack([sample(_config, rows[index]).pixels for index in spread(total, most)])
    except UserError:
        return None  # the views that need them say so; the others go on with one image


def seed_of_training() -> int:
    """`train.seed` of the project, from which the initial weights are drawn; 0 while params.yaml is not valid."""
    try:
        return parameters().train.seed
    except UserError:
        return 0
