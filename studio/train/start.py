"""The button that queues the plan and starts DVC's workers."""

import time
from pathlib import Path

import streamlit as st

from studio.command import show_command
from studio.text import literal
from studio.train.asked import ask, last
from studio.train.owners import this_browser
from studio.train.plan import Plan
from vit.config.folder import QUEUED, failing_in
from vit.files import project_root

SAID = 30  # seconds for which a start is confirmed


def show_start(plan: Plan) -> None:
    """Queue and start; what DVC refuses is said in its own words."""
    st.header("Start")
    root = project_root()
    if QUEUED in failing_in(root):
        st.error(
            literal(
                f"DVC's queue does not work in '{root}' because of its name; rename the folder to plain letters and "
                "digits, or run the training in a terminal:"
            )
        )
        show_command(["dvc", "exp", "run", *plan.commands[0][4:]])
        return
    for command in plan.commands:
        show_command(command)
    _button(plan.commands, plan.runs, root)


@st.fragment(run_every=1)
def _button(commands: list[list[str]], runs: int, root: Path) -> None:
    """The button, and below it what came of it, as the section Now may be out of sight."""
    label, what = ("Start training", "the training") if runs == 1 else (f"Start {runs} trainings", f"{runs} trainings")
    browser, key = this_browser(), f"start {commands}"
    asked = last(key, browser)
    is_pending = asked is not None and asked.is_pending
    if st.button(label, type="primary", icon=":material/play_arrow:", key="start", disabled=is_pending):
        ask(key, f"Starting {what}: DVC is preparing it", commands, browser, root)
        st.rerun()  # the section Now says so at once
    if asked is None:
        return
    if asked.problem:
        st.error(literal(asked.problem))
    elif is_pending or time.monotonic() < asked.at + SAID:
        st.success(f"Started: what becomes of {what} shows above, and goes on if this page is closed.")
