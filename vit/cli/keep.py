"""`vit keep`: one turn of continuous training."""

import os
import signal
from pathlib import Path

import click

from vit.cli.command import command, json_option, print_json
from vit.errors import Interrupted


@command("vit keep")
@click.option("--now", "at_once", is_flag=True, help="Do not wait after a failed turn.")
@click.option(
    "--hub-branch",
    default="main",
    metavar="NAME",
    help="Branch that is followed with data.source huggingface.",
)
@click.option("--status", is_flag=True, help="Only say how the last turns went.")
@json_option(
    "one object: outcome (unchanged, busy, waiting or trained), said (text), experiment (of DVC, or null), report "
    "(paths); with --status: failure (null, or count, at, work, error) and last (text or null)"
)
def keep(at_once: bool, hub_branch: str, status: bool, as_json: bool) -> None:
    """Train, judge and publish if the data has changed.

    One turn; let cron, systemd, Kubernetes or GitHub repeat it. The data is that of the working folder, code and
    params.yaml are those of the current commit. The training runs in a worktree of its own and leaves your files
    alone. The report is in .vit/keep/report.md and report.html, and with the MLflow run.
    """
    from vit.monitoring.renewal import turn
    from vit.worktrees import OF_ANOTHER_REPO

    if status:
        _print_status(as_json)
        return
    for name in OF_ANOTHER_REPO:  # of the git hook that starts it, if one does
        os.environ.pop(name, None)
    for one in (signal.SIGINT, signal.SIGTERM):  # a shell that starts it in the background ignores SIGINT
        signal.signal(one, _interrupt)
    try:
        done = turn(at_once, hub_branch, lambda text: click.echo(text, err=True))
    except KeyboardInterrupt as error:
        told = "interrupted: the training stopped at a checkpoint; the next `vit keep` goes on from there"
        raise Interrupted(told, exit_status=130) from error
    report = [path.relative_to(Path.cwd()).as_posix() for path in done.report]
    if as_json:
        print_json({"outcome": done.outcome, "said": done.said, "experiment": done.experiment, "report": report})
        return
    print(f"{done.said}; experiment {done.experiment}, report {report[0]}" if report else done.said)


def _print_status(as_json: bool) -> None:
    from dataclasses import asdict

    from vit.monitoring.renewal import status

    state = status()
    if as_json:
        print_json(asdict(state))
        return
    print(f"last training: {state.last or 'none yet'}")
    if state.failure is not None:
        turns = "the last turn" if state.failure.count == 1 else f"the last {state.failure.count} turns"
        print(f"{turns} failed: {state.failure.error}")


def _interrupt(*_) -> None:
    raise KeyboardInterrupt
