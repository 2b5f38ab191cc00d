"""The Studio's frame: its pages and their navigation. Start it with `vit studio`."""

import sys
from pathlib import Path

import streamlit as st

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:  # `streamlit run` adds only this folder
    sys.path.insert(0, ROOT)

from studio.access import hindrance  # noqa: E402
from studio.train.owners import introduce  # noqa: E402
from studio.verdict import STYLE  # noqa: E402
from studio.warmup import import_in_background  # noqa: E402

PAGES = (
    ("overview", "Overview", ":material/dashboard:"),
    ("data", "Data", ":material/photo_library:"),
    ("train", "Train", ":material/model_training:"),
    ("runs", "Runs", ":material/monitoring:"),
    ("ask", "Ask", ":material/image_search:"),
    ("inside", "Look inside", ":material/biotech:"),
    ("predict_and_check", "Predict and check", ":material/draw:"),
)
# What is chosen in a multiselect is white on the primary colour, which in the dark theme is too light for it.
CHOSEN = "[data-testid=stMultiSelect] [data-tag] { color: inherit; background: none; outline: 1px solid }"
# Buttons to choose from are lower than fields, so in a row with others their label would not stand in line.
ALIGNED = "[data-testid=stButtonGroup] button { min-height: 2.5rem }"

st.set_page_config(page_title="ViT Studio", page_icon=f"{ROOT}/studio/icon.png", layout="wide")
st.html(f"<style>{CHOSEN} {ALIGNED} {STYLE}</style>")
hindered = hindrance()
page = st.navigation(  # also for those who are kept out: it remembers which page they asked for
    [
        st.Page(f"screens/{name}.py", title=title, icon=icon, url_path=name, default=name == "overview")
        for name, title, icon in PAGES
    ],
    position="hidden" if hindered else "sidebar",
)
if hindered:
    hindered()
else:
    introduce()
    try:
        page.run()
    finally:  # not before: it would take half of the processor from the first page
        import_in_background()
