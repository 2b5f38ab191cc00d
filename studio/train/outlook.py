"""What a training will take: the model and a short probe, run by `vit estimate` in a process of its own."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import streamlit as st

from studio.command import show_command
from studio.text import literal
from studio.train.plan import Plan
from vit.config.document import params_yaml
from vit.config.entries import combinations
from vit.errors import UserError
from vit.files import project_root, write_text
from vit.quantities import duration, size

KEPT = Path(".vit/studio")


def show_outlook(plan: Plan) -> None:
    """Measure on request; the result stays while the parameters do."""
    st.header("What it will take")
    text = params_yaml(next(combinations(plan.form.entries)))
    file = KEPT / f"params-{hashlib.sha256(text.encode()).hexdigest()[:10]}.yaml"
    command = ["vit", "estimate", "--params", str(file), "--json"]
    known = st.session_state.setdefault("estimates", {})
    if st.button("Estimate time and memory", icon=":material/timer:"):
        try:
            with st.spinner("Running a few training steps", show_time=True):
                write_text(project_root() / file, text)
                known[text] = _run(command)
        except UserError as error:
            st.error(literal(str(error)))
    if text not in known:
        st.caption("Runs a few real training steps on images of noise, in about ten seconds.")
        return
    show_command(command)
    _show(known[text], plan)


def _run(command: list[str]) -> dict:
    """The output of a `vit` command. Raises UserError with its last line if it fails."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=project_root(), capture_output=True, text=True)
    if done.returncode:
        raise UserError((done.stderr.strip().splitlines() or ["vit estimate failed"])[-1].removeprefix("error: "))
    return json.loads(done.stdout)


def _show(found: dict, plan: Plan) -> None:
    minutes = found["minutes"]
    figures = {
        "Parameters": f"{found['parameters']:,}",
        "One training": "unknown" if minutes is None else duration(60 * minutes),
        "Memory": size(found["memory"] if found["device_memory"] is None else found["device_memory"]),
        "Training speed": f"{found['images_per_second']:,.0f} images/s",
    }
    with st.container(horizontal=True):
        for label, value in figures.items():
            st.metric(label, value, width="content")
    count, origin = found["train_images"], found["images_from"]
    images = f"{count:,} train images ({origin})" if count else f"Number of images: {origin}"
    lines = [f"{images}; {found['compute']}; {found['epochs']} epochs."]
    if found["pretraining"]:
        lines.append(f"{duration(60 * found['pretraining']['minutes'])} of it for pretraining.")
    if plan.runs > 1 and minutes is not None:
        lines.append(
            f"{plan.runs} runs: about {duration(60 * minutes * plan.runs)} one after another, if all take as long as "
            f"the first. {plan.jobs} at a time share the processor, so they need at least "
            f"{duration(60 * minutes * plan.runs / plan.jobs)} and {size(plan.jobs * found['memory'])}."
        )
    if found["left_out"]:
        lines.append(f"Not included: {', '.join(found['left_out'])}.")
    lines.append("The other stages (download, split, pack, evaluate, register) come on top.")
    st.caption(literal(" ".join(lines)))
    with st.expander("Layers of the model"):
        st.code(found["summary"], language=None)
