"""What is to be trained: preset, parameters, single run or grid, and the command that queues it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from studio.form import Form, parameter_form
from studio.text import literal
from vit.config.entries import differences, flat, runs_of
from vit.config.params_file import load_params
from vit.config.presets import load_preset, preset_names
from vit.dvc import queue_command, start_command
from vit.errors import UserError
from vit.files import project_root

AS_IT_IS = "params.yaml as it is"
TINY = 90  # train images per class, as the article trains its quick runs


@dataclass(frozen=True)
class Plan:
    """A valid form, and the differences to params.yaml by key."""

    form: Form
    changes: dict[str, list[object]]
    jobs: int

    @property
    def runs(self) -> int:
        return runs_of(self.form.entries)

    @property
    def commands(self) -> list[list[str]]:
        """What Start runs, in order."""
        return [queue_command(self.changes), start_command(self.jobs)]


def choose_plan() -> Plan | None:
    """The widgets; None while something is wrong, which they say."""
    try:
        now = load_params().model_dump(by_alias=True)
        presets = {name: load_preset(name) for name in preset_names()}
    except UserError as error:
        st.error(literal(str(error)))
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Start from",
            [AS_IT_IS, *presets],
            format_func=lambda name: f"preset {name}: {presets[name].about.title}" if name in presets else name,
            key="preset",
        )
        mode = st.segmented_control("Train", ["Single run", "Grid"], default="Single run", key="mode")
        is_tiny = st.toggle(
            "Tiny subset",
            help=f"Train on {TINY} images of each class, for a fast try. Val and test stay whole, so that scores can "
            "still be compared; a training on a subset never becomes champion.",
            key="tiny",
        )
    is_grid = mode == "Grid"
    if chosen in presets:
        about = presets[chosen].about
        st.caption(literal(f"Data: {about.data}. Device: {about.device}. Time: {about.time}. Score: {about.score}."))
    if is_grid:
        st.caption("Put several values between commas into any field: every combination becomes a run.")
    defaults = flat(presets[chosen].params.model_dump(by_alias=True) if chosen in presets else now)
    fixed = {"split.subset_per_class": TINY} if is_tiny else {}
    form = parameter_form(defaults, fixed, is_grid, f"train {chosen}")
    return _checked(form, now, is_grid)


def _checked(form: Form, now: Mapping[str, Any], is_grid: bool) -> Plan | None:
    if not form.is_valid:
        keys = ", ".join(form.problems)
        st.error(literal(f"Not valid: {keys}. {next(iter(form.problems.values()))}"), icon=":material/error:")
        return None
    relative = [path for path in form.entries["data.path"] if isinstance(path, str) and not path.startswith("/")]
    if "folder" in form.entries["data.source"] and relative:
        st.error(
            literal(
                f"data.path '{relative[0]}' is relative, which queued runs cannot use; set data.path to "
                f"{project_root() / relative[0]}"
            ),
            icon=":material/error:",
        )
        return None
    runs = runs_of(form.entries)
    jobs = 1
    if is_grid:
        jobs = int(st.number_input("Runs at a time", 1, 16, 1, key="jobs", help="Workers of DVC's queue."))
    try:
        plan = Plan(form, differences(form.entries, now), jobs)
        _ = plan.commands  # refuses what cannot be quoted for DVC
    except UserError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return None
    st.success(f"Valid: {runs} {'run' if runs == 1 else 'runs'}, {len(plan.changes)} keys differ from params.yaml.")
    return plan
