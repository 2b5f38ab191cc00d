"""What trains now, live, whoever began it: progress, curves, log and attention maps, and buttons to stop and go on."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from studio.command import show_commands_of
from studio.text import literal
from studio.train.asked import ask, last, pending
from studio.train.charts import show_curves
from studio.train.jobs import ACTIVE, OLD, Job, go_on_commands, jobs, stop_commands
from studio.train.owners import is_owner, this_browser
from vit import dvc
from vit.errors import UserError
from vit.files import project_root
from vit.tracking.progress import tail

ICONS = {
    "running": ":material/play_circle:",
    "preparing": ":material/hourglass_top:",
    "finishing": ":material/hourglass_bottom:",
    "stopping": ":material/hourglass_bottom:",
    "queued": ":material/schedule:",
    "stopped": ":material/stop_circle:",
    "failed": ":material/error:",
    "killed": ":material/cancel:",
    "finished": ":material/check_circle:",
}
EXPLAINED = {
    "stopping": "its checkpoint is written, then DVC ends it",
    "queued": "waits for a worker of DVC's queue",
    "killed": "its process is gone; its last checkpoint is there",
}


@st.fragment(run_every=1)
def show_live() -> None:
    """The section, read again every second."""
    root = project_root()
    asked = pending()  # before the queue is read, which then has what came of those that have ended
    for one in asked:
        st.markdown(f"{ICONS['preparing']} {literal(one.doing)}")
    try:
        found = jobs(root)
    except UserError as error:
        st.error(literal(str(error)))
        return
    active = [job for job in found if job.state in ACTIVE]
    ended = [job for job in found if job.state in ("stopped", "failed", "killed")][:OLD]
    if not active and not asked:
        st.info("Nothing is training. Start one below, or in a terminal with `dvc repro`: it appears here.")
    workers = dvc.workers(root)
    is_free = workers > sum(job.task is not None and job.task.state == "Running" for job in found)
    for job in (*active, *ended):
        _row(job, found, root, is_free)
    if any(job.state == "queued" for job in active) and not workers and not asked:
        st.warning("The queue has no worker.")
        _action("Start the queue", "", "Starting the queue: DVC begins a worker", [dvc.start_command(1)])
    _watch(found, root)


def _row(job: Job, others: Sequence[Job], root: Path, is_free: bool) -> None:
    with st.container(border=True):
        words = ", ".join(filter(None, [job.words, _explained(job, root, is_free)]))
        if job.seen is not None and job.state != "queued":
            st.progress(job.seen.share, literal(words))
        else:
            st.markdown(f"{ICONS[job.state]} {literal(words)}")
        if job.state == "failed":
            st.error(literal(_failure(job, root)))
        with st.container(horizontal=True):
            try:
                _buttons(job, others, root)
            except UserError as error:
                st.error(literal(str(error)))


def _explained(job: Job, root: Path, is_free: bool) -> str:
    if job.task is not None and job.state in ("preparing", "finishing"):
        stage = dvc.stage_of(job.task.rev, root)
        return f"stage {stage} of the pipeline runs" if stage else "DVC is preparing it"
    return "DVC is preparing it" if job.state == "queued" and is_free else EXPLAINED.get(job.state, "")


def _failure(job: Job, root: Path) -> str:
    """Why it failed, as the stage or DVC said it."""
    return (dvc.failure_of(job.task.rev, root) if job.task is not None else None) or "Its log says why."


def _buttons(job: Job, others: Sequence[Job], root: Path) -> None:
    name = job.name
    if job.state == "running" or (job.state in ("preparing", "finishing") and job.task is not None):
        _asking_first(f"Stop {name}", f"Stopping {name}", job, stop_commands(job, others), root)
    elif job.state == "queued":
        _asking_first(f"Take {name} out", f"Taking {name} out of the queue", job, [dvc.remove_command([name])], root)
    elif job.state != "stopping":
        if job.seen is not None:
            preparing = f"Going on with {name}: DVC is preparing it"
            _action(f"Go on with {name}", job.process, preparing, go_on_commands(job))
        if job.task is not None:
            removing = f"Removing {name} from the list"
            _action(f"Remove {name} from the list", job.process, removing, [dvc.remove_command([name])])


def _asking_first(label: str, doing: str, job: Job, commands: list[list[str]], root: Path) -> None:
    """A button for what this browser began; for anything else it has to be confirmed."""
    confirmed = f"confirmed {label} {job.process}"
    if not is_owner(job.name, this_browser(), root):
        if not st.session_state.get(confirmed):
            if st.button(literal(label), key=f"ask {label} {job.process}", icon=":material/stop:"):
                st.session_state[confirmed] = True
                st.rerun(scope="fragment")
            return
        st.warning(literal(f"{job.name} was not started in this browser; somebody else may need it."))
        if st.button(literal(f"Leave {job.name}"), key=f"leave {label} {job.process}"):
            st.session_state[confirmed] = False
            st.rerun(scope="fragment")
        label = f"{label} anyway"
    _action(label, job.process, doing, commands, job)


def _action(label: str, process: str, doing: str, commands: list[list[str]], stopped: Job | None = None) -> None:
    """A button that has DVC run commands about a process or task, those commands, and why they failed."""
    browser, key = this_browser(), f"{label} {process}"
    asked = last(key, browser)
    is_pending = asked is not None and asked.is_pending
    pressed = st.button(literal(label), key=key, disabled=is_pending)
    show_commands_of(label, commands, key)
    if asked is not None and asked.problem:
        st.error(literal(asked.problem))
    if pressed:
        stops, seen = (process, stopped.seen) if stopped is not None else ("", None)
        ask(key, doing, commands, browser, project_root(), stops, seen)
        st.rerun(scope="fragment")


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
