"""`vit check`: the debugging checklist for params.yaml, before training."""

import sys
from typing import TYPE_CHECKING

import click

from vit.cli.command import command, json_option, print_json

if TYPE_CHECKING:
    from vit.checks.answer import Answer

BUDGET = 120.0


@command("vit check --budget 600")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=BUDGET,
    metavar="SECONDS",
    help="Leave questions open that take longer.",
)
@json_option(
    "a list, an object per question: question, text, verdict (good, bad or open), evidence, way_out (text or null), "
    "files, seconds"
)
def check(budget: float, as_json: bool) -> None:
    """Check for the most common faults before training.

    Uses the images that `dvc repro pack` wrote and the model, optimizer and augmentations of params.yaml. Prints one
    line per question; plots and contact sheets are in .vit/check. The exit status is 1 unless all answers are good.
    """
    from vit.checks.project import subject_of_project
    from vit.checks.questions import QUESTIONS, ask_all
    from vit.checks.report import entry, write_report

    subject = subject_of_project(budget)
    width = max(len(question.name) for question in QUESTIONS)
    entries = []
    for question, answer, seconds in ask_all(subject):
        entries.append(entry(question, answer, seconds))
        if not as_json:
            print(f"{answer.verdict.upper().ljust(4)}  {question.name.ljust(width)}  {as_text(answer)}", flush=True)
    write_report(subject.out, entries)
    if as_json:
        print_json(entries)
    else:
        print(conclusion(entries, subject.clock.spent, subject.out.as_posix()))
    if any(one["verdict"] != "good" for one in entries):
        sys.exit(1)


def as_text(answer: "Answer") -> str:
    """Evidence, then the way out if there is one."""
    return answer.evidence if answer.way_out is None else f"{answer.evidence} -> {answer.way_out}"


def conclusion(entries: list[dict], seconds: float, folder: str) -> str:
    """How many are good, which are not, and where to find the plots."""
    named = {
        verdict: [one["question"] for one in entries if one["verdict"] == verdict]
        for verdict in ("good", "bad", "open")
    }
    parts = [f"{len(named['good'])} of {len(entries)} good"]
    parts += [f"{verdict}: {', '.join(named[verdict])}" for verdict in ("bad", "open") if named[verdict]]
    return f"{'; '.join(parts)} ({seconds:.0f} s); plots and sheets are in {folder}"
