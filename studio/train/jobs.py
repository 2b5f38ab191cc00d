"""Trainings and the queue as rows: what runs, waits or was stopped, and what can be done about each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from studio.train.asked import is_stopping
from vit import dvc
from vit.config.entries import differences, flat
from vit.config.params_file import load_params
from vit.config.presets import base_values, merged
from vit.quantities import duration
from vit.tracking.progress import Seen, interrupt_command, trainings

OLD = 5  # stopped trainings that are offered again
REMEMBERED = 20
ACTIVE = ("running", "preparing", "finishing", "stopping", "queued")
ORDER = (*ACTIVE, "stopped", "failed", "killed", "finished")


@dataclass(frozen=True)
class Job:
    """A training, an entry of DVC's queue, or both."""

    name: str
    seen: Seen | None
    task: dvc.Task | None
    began: float | None = None  # when DVC began to run the task, in seconds since 1970
    is_asked_to_stop: bool = False

    @property
    def process(self) -> str:
        """What stopping it stops: its task in DVC's queue, or its process."""
        return self.task.rev if self.task is not None else str(self.seen.how_far["pid"]) if self.seen else ""

    @property
    def state(self) -> str:
        """One of ORDER."""
        is_published = self.seen is not None and not self.seen.folder.exists()  # `register` removes the folder
        trained = "finished" if is_published else self.seen.state if self.seen is not None else ""
        at_work = self.task is not None and self.task.state == "Running"
        if self.is_asked_to_stop and (at_work or trained == "running"):
            return "stopping"
        if trained == "running":
            return "running"
        if at_work:
            return self._state_between_stages(trained)
        if self.task is not None and self.task.state == "Queued":
            return "queued"
        if is_published or trained not in ("", "finished"):
            return trained
        return "failed" if self.task is not None and self.task.state == "Failed" else "finished"

    def _state_between_stages(self, trained: str) -> str:
        """Of a task that DVC runs: whether its training is still to come, is over, or was interrupted."""
        if self.seen is None or self.began is None or self.seen.how_far["at"] < self.began:
            return "preparing"
        if trained == "finished":
            return "preparing" if self.seen.is_pretraining else "finishing"
        return "stopping"

    @property
    def place(self) -> str:
        """How far it is, in words."""
        if self.seen is None:
            return ""
        far, record = self.seen.how_far, self.seen.record
        parts = ["pretraining"] if self.seen.is_pretraining else []
        parts += [f"{far.get('epochs', 0)} of {record['epochs']} epochs", f"step {far['steps']} of {record['steps']}"]
        if self.state == "running" and "seconds_left" in far:
            parts += [f"{duration(far['seconds_left'])} left"]
        if self.state == "running" and "images_per_second" in far:
            parts += [f"{far['images_per_second']:,.0f} images/s"]
            parts += [f"train loss {far['train_loss']:.3f}", f"learning rate {far['learning_rate']:.2g}"]
        return ", ".join(parts)

    @property
    def words(self) -> str:
        """Its name, its state and how far it is."""
        return ", ".join(filter(None, [f"{self.name}: {self.state}", self.place]))


@st.cache_resource(show_spinner=False)
def _remembered() -> dict[str, Seen]:
    """Trainings that were watched: on the charts they stay after they are published. Page Runs has them all."""
    return {}


@st.cache_data(show_spinner=False, max_entries=4)
def _tasks(root: str, changes: tuple[str, ...]) -> list[dvc.Task]:
    """Asked again only when the queue has changed, because DVC takes a second or two to answer."""
    return dvc.tasks(Path(root))


def jobs(root: Path) -> list[Job]:
    """All of them: running first, then queued, then the last stopped ones, then finished trainings, newest first.

    Raises UserError if DVC's queue cannot be read.
    """
    has_queue = (root / dvc.QUEUE / "celery").exists()  # asking would create it
    tasks = _tasks(str(root), tuple(sorted(dvc.queue_changes(root)))) if has_queue else []
    seen = trainings(root)
    kept = _remembered()
    kept.update({one.key: one for one in seen if not one.is_pretraining})
    for key in list(kept)[:-REMEMBERED]:
        kept.pop(key, None)  # another browser window may have been faster
    seen += [one for one in list(kept.values()) if not one.folder.exists()]
    by_name = {one.name: one for one in reversed(seen)}
    found = [Job(task.name, by_name.get(task.name), task, dvc.began(task.rev, root)) for task in tasks]
    named = {job.name for job in found}
    found += [Job(one.name, one, None) for one in seen if one.name not in named]
    found = [replace(job, is_asked_to_stop=is_stopping(job.process)) for job in found]
    return sorted(found, key=lambda job: ORDER.index(job.state))


def stop_commands(job: Job, others: Sequence[Job]) -> list[list[str]]:
    """What stops it in order. DVC stops the worker as well, so the rest of the queue gets a new one."""
    if job.task is None or job.task.state != "Running":
        assert job.seen is not None
        return [interrupt_command(job.seen)]
    waiting = any(other.state == "queued" for other in others)
    running = sum(other.task is not None and other.task.state == "Running" for other in others)
    return [dvc.kill_command([job.name])] + ([dvc.start_command(max(1, running))] if waiting else [])


def go_on_commands(job: Job) -> list[list[str]]:
    """What goes on from its last checkpoint: the same parameters, queued again. Raises UserError as `differences`."""
    assert job.seen is not None
    params = merged(base_values(), job.seen.record["params"])  # an earlier release may have had fewer keys
    entries = {key: [value] for key, value in flat(params).items()}
    changes = differences(entries, load_params().model_dump(by_alias=True))
    if job.task is None:
        return [dvc.queue_command(changes), dvc.start_command(1)]
    return [dvc.remove_command([job.name]), dvc.queue_command(changes, job.name), dvc.start_command(1)]
