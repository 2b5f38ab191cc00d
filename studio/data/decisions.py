"""Suspected label errors, what a person decides about them, and the table of all corrections."""

import streamlit as st

from studio.command import show_command
from studio.project import parameters
from studio.text import literal
from studio.uploads import preview
from vit.config.changes import changed
from vit.config.files import CLASSES, CORRECTED_IMAGES, CORRECTIONS, PARAMS, RAW, SPLITS
from vit.data.corrections import ACTIONS, Correction
from vit.data.feedback import decide, decided, now, withdraw
from vit.errors import UserError, one_line
from vit.files import project_root, read_json, write_text

PER_PAGE = 8


def show_suspects(by: str) -> None:
    """Labels that are probably wrong by the latest runs, with a decision for each."""
    st.header("Suspected label errors")
    st.markdown("Images whose label a model, not trained on them, contradicts with confidence. The same as:")
    show_command(["vit", "suspects"])
    if st.button("Find suspected labels", key="suspects find"):
        st.session_state["suspects"] = _find()
    found = st.session_state.get("suspects")
    if found is None:
        return
    if isinstance(found, str):
        st.info(literal(found))
        return
    st.markdown(
        literal(
            f"{found['suspected']} of {found['images']} judged images are suspected ({found['total']} images in all), "
            f"from {len(found['runs'])} run(s). A weak model suspects many labels that are right: look at each."
        )
    )
    rows = found["suspects"]
    pages = max(1, -(-len(rows) // PER_PAGE))
    page = int(st.number_input(f"Page (of {pages})", 1, pages, 1, key="suspects page")) if pages > 1 else 1
    try:
        corrections = decided()
    except UserError:  # the section Corrections shows it
        return
    classes = read_json(project_root() / SPLITS / CLASSES)
    shown = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
    for start in range(0, len(shown), 4):
        for column, row in zip(st.columns(4), shown[start : start + 4], strict=False):
            with column, st.container(border=True):
                _suspect(row, classes, corrections.get(row["sha256"]), by)


def _find() -> dict | str:
    """What `vit suspects` lists, or the sentence of its error."""
    from vit.registry.suspected import suspected_labels

    try:
        with st.spinner("Reading the predictions of the runs"):
            return suspected_labels(parameters().split.folds)
    except UserError as error:
        return one_line(error)


def _suspect(row: dict, classes: list[str], known: Correction | None, by: str) -> None:
    caption = f"{row['path']}: labelled {row['label']} ({row['p_label']:.0%})"
    try:
        content = (project_root() / RAW / row["path"]).read_bytes()
        st.image(preview(content, 128), caption=literal(caption), alt=caption, width="stretch")
    except (OSError, UserError):
        st.caption(literal(f"{caption}: not in data/raw any more"))
    st.markdown(f"Suggested: **{literal(row['suggested'])}** ({row['p_suggested']:.0%})")
    key = f"suspect {row['sha256']} {known.action if known else ''}"  # forgets what was chosen once it is taken back
    action = st.segmented_control(
        "Decision", ACTIONS, default=known.action if known else None, key=f"{key} action", label_visibility="collapsed"
    )
    label = row["label"]
    if action == "relabel":
        before = known.label if known and known.label in classes else row["suggested"]
        label = st.selectbox("Label", classes, index=classes.index(before), key=f"{key} label")
    wanted = Correction(row["sha256"], row["path"], "" if action == "remove" else label, action or "", by, now())
    if action and (known is None or (known.action, known.label) != (wanted.action, wanted.label)):
        decide([wanted])
        st.rerun()
    elif action is None and known is not None:
        withdraw([row["sha256"]])
        st.rerun()


def show_corrections() -> None:
    """All corrections, how to take one back, and whether the next run uses them."""
    st.header("Corrections")
    try:
        corrections = decided()
        params = parameters()
    except UserError as error:
        st.error(literal(str(error)))
        return
    if not corrections:
        st.info(
            "No corrections yet. Decide about suspected labels above, or mark a wrong answer on the page Ask. They are "
            f"kept in {CORRECTIONS}."
        )
        return
    st.dataframe([one._asdict() for one in corrections.values()], hide_index=True)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = {f"{one.path} ({one.action} {one.label})": one.sha256 for one in corrections.values()}
        chosen = st.multiselect("Take back", names, key="corrections back")
        if st.button("Take back", disabled=not chosen, key="corrections withdraw"):
            withdraw([names[name] for name in chosen])
            st.rerun()
    if params.data.corrections == str(CORRECTIONS):
        st.success("The next run uses these corrections: data.corrections names the table.", icon=":material/check:")
        show_command(["dvc", "repro"])
    else:
        _use()
    st.caption("Trainings of the queue have only files that git and DVC track. For them, run:")
    if any(one.path.startswith(f"{CORRECTED_IMAGES}/") for one in corrections.values()):
        show_command(["dvc", "add", str(CORRECTED_IMAGES)])
        show_command(["git", "add", str(CORRECTIONS), f"{CORRECTED_IMAGES}.dvc"])
    else:
        show_command(["git", "add", str(CORRECTIONS)])


def _use() -> None:
    text, changes = changed({"data.corrections": str(CORRECTIONS)}, project_root() / PARAMS)
    st.warning("The next run does not use them. This would change in params.yaml:")
    st.table([change._asdict() for change in changes])
    if st.button("Use the corrections in the next run", type="primary", key="corrections use"):
        write_text(project_root() / PARAMS, text)
        st.rerun()
