"""The button that queues the plan and starts DVC's workers."""

import streamlit as st

from studio.command import show_command
from studio.text import literal
from studio.train.jobs import execute
from studio.train.plan import Plan
from vit.config.folder import QUEUED, failing_in
from vit.errors import UserError
from vit.files import project_root


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
    label = "Start training" if plan.runs == 1 else f"Start {plan.runs} trainings"
    if st.button(label, type="primary", icon=":material/play_arrow:"):
        try:
            with st.spinner("DVC puts it into the queue", show_time=True):
                st.session_state.setdefault("mine", set()).update(execute(plan.commands))
        except UserError as error:
            st.error(literal(str(error)))
            return
        st.success("In the queue. It goes on if this page is closed; it shows above.")
