"""What is to be trained: preset, parameters, single run or grid, and the command that queues it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from studio.form import Form, parameter_form
from studio.project import named_path
from studio.text import literal
from studio.verdict import verdict
from vit.config.entries import Entries, differences, flat, runs_of
from vit.config.params_file import load_params
from vit.config.presets import load_preset, preset_names
from vit.dvc import queue_command, start_command
from vit.errors import UserError

AS_IT_IS = "params.yaml as it is"
LAUNCHERS = re.compile(r"python|torchrun --nproc-per-node[ =]\d{1,3}")  # it is a command line
BUILT_IN = ("digits", "shapes")  # sources that presets bring along
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
    above = st.container()  # always there, so that the sections below stay where they are while one clicks
    if chosen in presets:
        about = presets[chosen].about
        above.caption(literal(f"Data: {about.data}. Device: {about.device}. Time: {about.time}. Score: {about.score}."))
        preset = presets[chosen].params.model_dump(by_alias=True)
        is_keeping = above.toggle(
            "Keep the images of params.yaml",
            value=now["data"]["source"] not in BUILT_IN,
            help="The preset's sections data and split are left out, so that its recipe trains on the images chosen on "
            "page Data, split as before.",
            key=f"keep {chosen}",
        )
        kept = {"data": now["data"], "split": now["split"]} if is_keeping else {}
        defaults, name = flat(preset | kept), f"train {chosen} {is_keeping}"
    else:
        defaults, name = flat(now), f"train {chosen}"
    if is_grid:
        above.caption("Put several values between commas into any field: every combination becomes a run.")
    fixed = {"split.subset_per_class": TINY} if is_tiny else {}
    form = parameter_form(defaults, fixed, is_grid, name, _studio_problems)
    return _checked(form, now, is_grid)


def _studio_problems(entries: Entries) -> dict[str, str]:
    """What no field may name: folders outside the project or that a queued run cannot use, and other programs."""
    found: dict[str, str] = {}
    for path in entries["data.path"] if "folder" in entries["data.source"] else []:
        try:
            place = named_path(str(path))
        except UserError as error:
            found["data.path"] = f"data.path: {error}"
            continue
        if not Path(str(path)).is_absolute():
            found["data.path"] = f"data.path '{path}' is relative, which queued runs cannot use; set it to {place}"
    for launcher in entries["train.launcher"]:
        if not LAUNCHERS.fullmatch(str(launcher)):
            found["train.launcher"] = (
                f"train.launcher is '{launcher}'; the Studio takes python or torchrun --nproc-per-node N, a terminal "
                "any options"
            )
    return found


def _checked(form: Form, now: Mapping[str, Any], is_grid: bool) -> Plan | None:
    if not form.is_valid:
        sentences = "".join(f"\n- {literal(sentence)}" for sentence in dict.fromkeys(form.problems.values()))
        verdict().error(f"Not valid:\n{sentences}", icon=":material/error:")
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
    several = "run" if runs == 1 else "runs"
    verdict().success(f"Valid: {runs} {several}, {len(plan.changes)} keys differ from params.yaml.")
    return plan
