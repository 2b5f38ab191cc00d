"""What trains now, live, whoever began it: progress, curves, log and attention maps, and buttons to stop and go on."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from studio.command import show_command
from studio.text import literal
from studio.train.charts import show_curves
from studio.train.jobs import OLD, Job, execute, go_on_commands, jobs, stop_commands
from vit import dvc
from vit.errors import UserError
from vit.files import project_root
from vit.tracking.progress import Seen, tail

ICONS = {
    "running": ":material/play_circle:",
    "preparing": ":material/hourglass_top:",
    "queued": ":material/schedule:",
    "stopped": ":material/stop_circle:",
    "failed": ":material/error:",
    "killed": ":material/cancel:",
    "finished": ":material/check_circle:",
}
EXPLAINED = {
    "preparing": "another stage of the pipeline runs, or the training is about to begin or to end",
    "queued": "waits for a worker of DVC's queue",
    "killed": "its process is gone; its last checkpoint is there",
}


@st.fragment(run_every=1)
def show_live() -> None:
    """The section, read again every second."""
    root = project_root()
    try:
        found = jobs(root)
    except UserError as error:
        st.error(literal(str(error)))
        return
    active = [job for job in found if job.state in ("running", "preparing", "queued")]
    ended = [job for job in found if job.state in ("stopped", "failed", "killed")][:OLD]
    if not active:
        st.info("Nothing is training. Start one below, or in a terminal with `dvc repro`: it appears here.")
    for job in (*active, *ended):
        _row(job, found, root)
    if any(job.state == "queued" for job in active) and not any(job.state != "queued" for job in active):
        st.warning("The queue has no worker.")
        _action("Start the queue", "start queue", [dvc.start_command(1)])
    _watch(found, root)


def _row(job: Job, others: Sequence[Job], root: Path) -> None:
    seen = job.seen
    with st.container(border=True):
        words = f"{job.name}: {job.state}"
        detail = ", ".join(filter(None, [job.place, EXPLAINED.get(job.state)]))
        if seen is not None and job.state != "queued":
            st.progress(seen.share, literal(f"{words}, {detail}"))
        else:
            st.markdown(f"{ICONS[job.state]} {literal(words)}. {literal(detail)}")
        if job.state == "failed":
            st.error(literal(_failure(job, root)))
        with st.container(horizontal=True):
            try:
                _buttons(job, others)
            except UserError as error:
                st.error(literal(str(error)))


def _failure(job: Job, root: Path) -> str:
    """Why it failed, as the stage or DVC said it."""
    return (dvc.failure_of(job.task.rev, root) if job.task is not None else None) or "Its log says why."


def _buttons(job: Job, others: Sequence[Job]) -> None:
    if job.state == "running" or (job.state == "preparing" and job.task is not None):
        _asking_first("Stop", job, stop_commands(job, others))
    elif job.state == "queued":
        _asking_first("Take out", job, [dvc.remove_command([job.name])])
    else:
        if job.seen is not None:
            _action("Go on", f"go on {job.name}", go_on_commands(job))
        if job.task is not None:
            _action("Remove from the list", f"forget {job.name}", [dvc.remove_command([job.name])])


def _asking_first(label: str, job: Job, commands: list[list[str]]) -> None:
    """A button for what this browser began; for anything else it has to be confirmed."""
    asked = f"asked {label} {job.name}"
    if job.name in st.session_state.get("mine", set()):
        _action(label, f"{label} {job.name}", commands, job.seen)
    elif not st.session_state.get(asked):
        if st.button(label, key=f"ask {label} {job.name}", icon=":material/stop:"):
            st.session_state[asked] = True
            st.rerun(scope="fragment")
    else:
        st.warning(literal(f"{job.name} was not started in this browser window; somebody else may need it."))
        if _action(f"{label} it anyway", f"{label} {job.name}", commands, job.seen):
            st.session_state[asked] = False
        if st.button("Leave it", key=f"leave {label} {job.name}"):
            st.session_state[asked] = False
            st.rerun(scope="fragment")


def _action(label: str, key: str, commands: list[list[str]], seen: Seen | None = None) -> bool:
    """A button that runs commands, beside those commands; whether it was pressed."""
    pressed = st.button(label, key=key)
    with st.popover("Command", key=f"command {key}"):
        for command in commands:
            show_command(command)
    if pressed:
        try:
            with st.spinner(f"{label}: DVC is working", show_time=True):
                st.session_state.setdefault("mine", set()).update(execute(commands, seen))
        except UserError as error:
            st.error(literal(str(error)))
    return pressed


def _watch(found: Sequence[Job], root: Path) -> None:
    by_name = {job.name: job for job in found if job.seen is not None or job.task is not None}
    trained = {name: job.seen for name, job in by_name.items() if job.seen is not None and not job.seen.is_pretraining}
    if not by_name:
        return
    running = [name for name in trained if by_name[name].state == "running"]
    default = running or list(trained)[:1]
    shown = st.multiselect(
        "Trainings on the charts", list(trained), placeholder=", ".join(default) or "none yet", key="on the charts"
    )
    show_curves([trained[name] for name in (shown or default) if name in trained])
    name = st.selectbox("Log and attention maps of", list(by_name), key="looked at")
    with st.expander("Log"):
        st.code(_log(by_name[name], root) or "Nothing was written yet.", language=None, height=300)
    if st.toggle("Attention maps of eight val images, drawn here after each epoch"):
        _attention(by_name[name], root)


def _log(job: Job, root: Path) -> str:
    """What DVC recorded of an experiment; of another training, its process's lines in logs/vit.log."""
    if job.task is not None:
        file = dvc.output_of(job.task.rev, root)
        return tail(file) if file else ""
    assert job.seen is not None
    mine = f" {job.seen.how_far['pid']} "
    return "\n".join(line for line in tail(root / "logs/vit.log", 400).splitlines() if mine in line)


def _attention(job: Job, root: Path) -> None:
    if job.seen is None or job.seen.is_pretraining:
        st.caption("The training has not begun.")
        return
    from vit.tracking.watching import attention_sheets  # late: it imports torch

    try:
        sheets = attention_sheets(job.seen, root)
    except UserError as error:
        st.info(literal(str(error)))
        return
    if not sheets:
        st.caption("They appear with the first epoch that is watched.")
        return
    epochs = list(sheets)
    epoch = epochs[-1]
    if len(epochs) > 1:
        epoch = st.select_slider("Epoch", epochs, epoch, key=f"epoch of {job.name} {len(epochs)}")
    st.image(str(sheets[epoch]), caption=f"After epoch {epoch}: bright is where the model looks.")
