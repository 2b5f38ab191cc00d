"""What the audit found: classes, sizes, samples, unreadable files, duplicates and near duplicates."""

from collections import defaultdict
from pathlib import Path

import streamlit as st

from studio.charts import bar_chart, data_of
from studio.project import parameters
from studio.text import literal
from studio.uploads import preview
from vit.config.files import AUDIT, AUDITED_IMAGES, RAW
from vit.data.manifest import PARTS
from vit.errors import UserError
from vit.files import project_root, read_table

SAMPLES, PAIRS, MOST_CLASSES = 12, 6, 20
MUCH_LARGER = 4  # times the size that the model sees
SIDE = 112  # pixels of a picture
SHEETS = {"torn_near_duplicates.png": "test", "torn_near_duplicates_val.png": "val"}


def show_classes(audit: dict) -> None:
    """Images per class and split, as a chart and as a table."""
    st.header("Classes")
    rows = [
        {"class": name, "split": part, "images": audit["classes"][part].get(name, 0)}
        for name in sorted({name for part in PARTS for name in audit["classes"][part]})
        for part in PARTS
    ]
    totals = defaultdict(int)
    for row in rows:
        totals[row["class"]] += row["images"]
    st.markdown(f"{audit['usable_images']:,} images in {len(totals)} classes. {balance(totals)}")
    shown = sorted(totals, key=lambda name: (-totals[name], name))[:MOST_CLASSES]
    title = "Images per class" if len(shown) == len(totals) else f"Images of the {len(shown)} largest classes"
    about = f"Bars: the images of {len(shown)} classes in train, val and test"
    drawn = [row for name in shown for row in rows if row["class"] == name]
    bar_chart(drawn, "images", "class", by="split", title=title, about=about, height=80 + 36 * len(shown))
    if len(shown) < len(totals):
        data_of(rows, "Images per class, all classes")


def balance(totals: dict[str, int]) -> str:
    """How unequal the classes are."""
    largest, smallest = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    most, least = totals[largest], totals[smallest]
    if most == least:
        return f"Each class has {most:,}."
    if most / least < 1.05:  # 1.0 times would say that they are equal
        return f"The largest, {literal(largest)}, has {most:,}, the smallest, {literal(smallest)}, {least:,}."
    times = f"{most / least:.1f} times the images of the smallest"
    return f"The largest, {literal(largest)}, has {times}, {literal(smallest)}."


def show_sizes(audit: dict) -> None:
    """Sizes and formats of the files."""
    st.header("Sizes")
    left, right = st.columns(2)
    left.markdown(f"Sides from {audit['smallest_side']} to {audit['largest_side']} pixels. The most frequent sizes:")
    left.dataframe(
        [{"width x height": size, "images": count} for size, count in audit["sizes"].items()], hide_index=True
    )
    right.markdown("File formats:")
    right.dataframe([{"format": name, "images": count} for name, count in audit["formats"].items()], hide_index=True)


def show_scale(audit: dict) -> None:
    """A hint where the model would see far less than the images hold."""
    try:
        height, width = parameters().pack.image_size
    except UserError:  # the section Source shows it
        return
    if audit["smallest_side"] > MUCH_LARGER * max(height, width):
        st.info(
            f"The model sees {height}x{width} pixels (pack.image_size), much less than these images have. "
            "On the page Train, raise pack.image_size or start from a preset with larger images, such as own_images."
        )


def show_samples(audit: dict) -> None:
    """Some images of a class, in all splits."""
    st.header("Samples")
    classes = sorted(audit["classes"]["train"])
    chosen = st.selectbox("Class", classes, key="data class")
    rows = [row for row in _images(*_stamp(AUDITED_IMAGES)) if row["label"] == chosen]
    step = max(1, len(rows) // SAMPLES)
    _gallery([(row["path"], f"{row['path']}, {row['part']}") for row in rows[::step][:SAMPLES]])


def show_left_out(audit: dict) -> None:
    """Files that no split has, with the reason."""
    st.header("Left out")
    for name, title in (("quarantine.csv", "unreadable files"), ("duplicates.csv", "copies and contradictions")):
        rows = _images(*_stamp(name))
        with st.expander(f"{len(rows)} {title}", expanded=0 < len(rows) <= 5):
            if rows:
                st.dataframe(rows, hide_index=True)
            else:
                st.caption("None.")
    if audit["warnings"]:
        for warning in audit["warnings"]:
            st.warning(literal(warning))


def show_near_duplicates(audit: dict) -> None:
    """The pairs that leak, then groups that look alike, side by side."""
    st.header("Near duplicates")
    st.markdown(
        f"{audit['images_with_near_duplicates']:,} images in {audit['near_duplicate_groups']:,} groups look nearly the "
        "same as another one."
    )
    for name, part in SHEETS.items():
        if (file := project_root() / AUDIT / name).is_file():
            st.image(
                str(file),
                caption=f"The most similar pairs that the split tore apart: train, then {part}",
                alt=f"pairs of near duplicates in train and {part}",
            )
    groups: dict[str, list[str]] = defaultdict(list)
    for row in _images(*_stamp("near_duplicates.csv")):
        groups[row["group"]].append(row["path"])
    largest = sorted(groups.values(), key=lambda paths: (-len(paths), paths))[:PAIRS]
    if largest:
        st.markdown("The largest groups, two images of each side by side:")
        for paths in largest:
            _gallery([(path, path) for path in paths[:2]])
        with st.expander("All groups"):
            st.dataframe(
                [{"images": len(paths), "paths": ", ".join(paths)} for paths in groups.values()], hide_index=True
            )


def _gallery(images: list[tuple[str, str]]) -> None:
    """Images of data/raw with captions, as many in a row as there is room for."""
    with st.container(horizontal=True):
        for path, caption in images:
            try:
                st.image(_preview(path), caption=literal(caption), alt=caption, width=SIDE)
            except (OSError, UserError):
                st.caption(literal(f"{caption}: gone; `dvc repro pack` restores it"))


@st.cache_data(max_entries=500, show_spinner=False, ttl=600)
def _preview(path: str) -> bytes:
    return preview((project_root() / RAW / path).read_bytes(), SIDE)


def _stamp(name: str) -> tuple[Path, int]:
    """A table of the audit and the time of its last change, by which it is cached."""
    path = project_root() / AUDIT / name
    return path, path.stat().st_mtime_ns


@st.cache_data(max_entries=8, show_spinner=False)
def _images(path: Path, stamp: int) -> list[dict[str, str]]:
    return read_table(path)
