"""The versions with the gate's verdict; making one champion, and going back."""

import streamlit as st

from studio.command import show_command
from studio.project import parameters
from studio.registry import forget, versions
from studio.text import literal
from vit.errors import UserError

DONE = "champion_moved"


def show_versions() -> None:
    """The table, and the two ways of moving the champion by hand."""
    found = versions()
    if not found:
        st.info("No version is registered yet; `dvc repro` publishes one.")
        return
    if said := st.session_state.pop(DONE, None):
        st.success(literal(said))
    rows = [
        {
            "version": one["version"],
            "aliases": ", ".join(one["aliases"]),
            "val accuracy": _with_interval(one["val_accuracy"]),
            "test accuracy": _with_interval(one["test_accuracy"]),
            "looks": one["test_looks"],
            "verdict": one["verdict"] or "-",
        }
        for one in found
    ]
    wide = {"verdict": st.column_config.TextColumn(width="large")}
    st.dataframe(rows, hide_index=True, column_config=wide, alt="The versions with the gate's verdict")
    for one in found[:3]:
        st.caption(literal(f"Version {one['version']}: {one['verdict'] or 'no verdict'}"))
    left, right = st.columns(2, gap="large")
    with left:
        _promotion(found)
    with right:
        _rollback(found)


def _with_interval(score: dict | None) -> str:
    if score is None:
        return "-"
    interval = "" if score["low"] is None or score["high"] is None else f" ({score['low']:.4f} to {score['high']:.4f})"
    return f"{score['value']:.4f}{interval}"


def _promotion(found: list[dict]) -> None:
    st.subheader("Promote by hand")
    others = [one["version"] for one in found if "champion" not in one["aliases"]]
    if not others:
        st.write("The only version is champion already.")
        return
    chosen = st.selectbox("Version", others, key="promoted_version")
    reason = st.text_input("Reason", key="promotion_reason", help="Stored with the version.", max_chars=500)
    if st.button("Promote", key="promote"):
        if reason.strip():
            _confirm_promotion(chosen, reason.strip())
        else:
            st.error("Say why: the reason is stored with the version, for the next person who wonders.")


def _rollback(found: list[dict]) -> None:
    st.subheader("Roll back")
    champion = next((one for one in found if "champion" in one["aliases"]), None)
    if champion is None:
        st.write("No version is champion, so there is nothing to roll back.")
        return
    st.write(f"Version {champion['version']} is champion. Rolling back returns to the champion before it.")
    reason = st.text_input("Reason for going back", key="rollback_reason", max_chars=500)
    if st.button("Roll back", key="rollback"):
        _confirm_rollback(champion["version"], reason.strip() or "no reason given")


@st.dialog("Promote this version?")
def _confirm_promotion(version: int, reason: str) -> None:
    st.write(f"Version {version} becomes champion, whatever the gate said, and is served from then on.")
    show_command(["vit", "registry", "promote", str(version), "--reason", reason])
    if st.button(f"Make version {version} champion", type="primary", key="confirm_promotion"):
        from vit.registry.promotion import promote

        try:
            promoted, before = promote(parameters().register_.name, str(version), reason)
        except UserError as error:
            st.error(literal(str(error)))
            return
        replaced = "there was none before" if before is None else f"it replaces version {before.version}"
        _tell(f"Version {promoted.version} is now champion; {replaced}.")


@st.dialog("Roll back the champion?")
def _confirm_rollback(version: int, reason: str) -> None:
    st.write(f"Version {version} is no longer served, and never becomes champion again by itself.")
    show_command(["vit", "registry", "rollback", "--reason", reason])
    if st.button("Return to the champion before", type="primary", key="confirm_rollback"):
        from vit.registry.promotion import rollback

        try:
            left, returned = rollback(parameters().register_.name, reason)
        except UserError as error:
            st.error(literal(str(error)))
            return
        _tell(f"Version {returned.version} is champion again; version {left.version} was rolled back.")


def _tell(done: str) -> None:
    """Say it after the dialog has closed."""
    forget()
    st.session_state[DONE] = done
    st.rerun()
