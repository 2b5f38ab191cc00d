"""One picture to look at, read as the model reads it: from the test split, a cat with a person, or one's own."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import streamlit as st

from studio.text import literal
from vit.config.files import RAW, SPLITS
from vit.data.images import load_image, settings_of
from vit.data.manifest import Row, read_rows
from vit.errors import UserError, one_line
from vit.files import project_root

SAMPLE, CAT, OWN = "Test split", "Cat and person", "Your picture"
CAT_AND_PERSON = Path(__file__).parent / "pictures" / "cat_and_person.jpg"
CREDIT = "Eileen Collins (NASA, public domain) beside Chelsea the cat (Stefan van der Walt, CC0), put together."


@dataclass(frozen=True)
class Picture:
    """Pixels uint8 (H, W, C) as a model of `config` gets them, and the label that the data gives, if any."""

    name: str
    pixels: np.ndarray
    label: str | None = None


def choose_picture(config: dict, key: str) -> Picture | None:
    """The widgets that choose a picture; None, with the reason on the page, if there is none yet."""
    rows = rows_of_test()
    kinds = [SAMPLE, CAT, OWN] if rows else [CAT, OWN]
    kind = st.segmented_control("Picture", kinds, default=kinds[0], key=f"{key} picture", required=True)
    try:
        if kind == SAMPLE:
            number = st.number_input(
                f"Number of the test image, 1 to {len(rows)}", 1, len(rows), 1, key=f"{key} number"
            )
            return sample(config, rows[int(number) - 1])
        if kind == CAT:
            st.caption(CREDIT)
            return cat_and_person(config)
        file = st.file_uploader("Drop a picture here", key=f"{key} own")
        if file is None:
            st.info("Drop any picture; it is read as the model's training images were, and is not kept.")
            return None
        return Picture(file.name, _pixels(config, file.name, file.getvalue()))
    except UserError as error:
        st.error(literal(one_line(error)), icon=":material/error:")
        return None


def rows_of_test() -> list[Row]:
    """The images of the test split; [] before the pipeline has made one."""
    table = project_root() / SPLITS / "test.csv"
    return read_rows(table) if table.is_file() else []


def sample(config: dict, row: Row) -> Picture:
    """An image of the test split. Raises UserError if its file is gone."""
    path = project_root() / RAW / row.path
    return Picture(row.path, load_image(path, **settings_of(config)), row.label)


def cat_and_person(config: dict) -> Picture:
    """The one picture that every project has; where it is from is in studio/pictures/README.md."""
    return Picture("cat and person", load_image(CAT_AND_PERSON, **settings_of(config)))


def _pixels(config: dict, name: str, content: bytes) -> np.ndarray:
    file = BytesIO(content)
    file.name = name  # for messages
    return load_image(file, **settings_of(config))
