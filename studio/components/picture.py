"""The three pictures as functions: `pick` a patch, `paint` strokes, `cover` with a square.

Each shows an image uint8 (H, W, C) and speaks in its pixels, whatever its size on the screen.
"""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

FOLDER = Path(__file__).parent
SHOWN = 420  # pixels of the longer side on a wide screen
HTML = """<div class="stage" tabindex="0" role="application"><img alt=""><svg aria-hidden="true"></svg></div>
<div class="tools"></div><p class="help"></p><div class="said" aria-live="polite"></div>"""


def _component(name: str) -> Any:
    script = "".join((FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in ("common", name))
    style = (FOLDER / "picture.css").read_text(encoding="utf-8")
    return st.components.v2.component(f"vit_{name}", html=HTML, css=style, js=script)


PICK, BRUSH, DRAG = (_component(name) for name in ("pick", "brush", "drag"))


def pick(
    image: np.ndarray, patch_size: int, *, label: str, key: str, default: tuple[int, int], shown: int = SHOWN
) -> tuple[int, int]:
    """Row and column of the patch that a person chose by a click, or by arrow keys and Enter.

    `image` may be drawn at any scale of the grid; patches are `patch_size` of its pixels wide.
    """
    state = _state(key)
    start = [(default[1] + 0.5) * patch_size, (default[0] + 0.5) * patch_size]
    point = state.get("point") or start
    if point[0] >= image.shape[1] or point[1] >= image.shape[0]:
        point = start  # the image has become smaller
    data = _data(image, label, shown) | {"step": patch_size, "point": point}
    data["help"] = "Click a patch; or move with the arrow keys and press Enter."
    PICK(data=data, key=key, default={"point": point}, on_point_change=_nothing)
    point = _state(key).get("point") or point
    return int(point[1] // patch_size), int(point[0] // patch_size)


def paint(image: np.ndarray, *, label: str, key: str, shown: int = SHOWN) -> list[dict]:
    """The strokes that a person painted, for `vit.evaluation.sketch.painted`: radius and points in image pixels."""
    longer = max(image.shape[:2])
    strokes = _state(key).get("strokes") or []
    data = _data(image, label, shown) | {"radii": [longer * share for share in (0.04, 0.08, 0.16)], "strokes": strokes}
    data["help"] = "Paint with mouse or finger; or move with the arrow keys, Enter paints, Backspace undoes."
    BRUSH(data=data, key=key, default={"strokes": strokes}, on_strokes_change=_nothing)
    return _state(key).get("strokes") or []


def cover(
    image: np.ndarray, side: int, fill: Sequence[int], *, label: str, key: str, step: int = 1, shown: int = SHOWN
) -> tuple[int, int]:
    """Top and left of the square with `side` image pixels that a person dragged, in image pixels."""
    height, width = image.shape[:2]
    middle = [(width - side) // 2, (height - side) // 2]
    corner = _state(key).get("corner") or middle
    corner = [min(corner[0], width - side), min(corner[1], height - side)]
    red, green, blue = (int(value) for value in (fill if len(fill) == 3 else [*fill] * 3))
    data = _data(image, label, shown) | {"side": side, "corner": corner, "step": step}
    data |= {"fill": f"rgb({red},{green},{blue})", "help": "Drag the square; or move it with the arrow keys."}
    DRAG(data=data, key=key, default={"corner": corner}, on_corner_change=_nothing)
    left, top = _state(key).get("corner") or corner
    return min(int(top), height - side), min(int(left), width - side)


def _data(image: np.ndarray, label: str, shown: int) -> dict[str, Any]:
    buffer = BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "png")
    address = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    height, width = image.shape[:2]
    wide = shown if width >= height else round(shown * width / height)
    return {"image": address, "height": height, "width": width, "label": label, "shown": wide}


def _state(key: str) -> dict:
    return st.session_state.get(key) or {}


def _nothing() -> None:
    """Streamlit keeps a state only for a component with a callback."""
