"""`vit monitor`: does what is served now resemble what the model was judged on?"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vit.cli.command import command, json_option, print_json
from vit.config.files import PREDICTIONS_LOGGED
from vit.errors import UserError

if TYPE_CHECKING:
    from vit.monitoring.accuracy import Accuracy
    from vit.monitoring.answer import Asked, Comparisons

ALARM = 3  # exit status


@command("vit monitor --window 1d")
@click.option("--log", type=click.Path(path_type=Path), default=PREDICTIONS_LOGGED, help="Folder of the log.")
@click.option("--window", default="500", metavar="SIZE", help="Predictions, or a time: 30m, 6h, 1d (UTC).")
@click.option(
    "--false-alarms",
    "rate",
    type=click.FloatRange(0.0001, 0.5),
    default=0.01,
    metavar="SHARE",
    help="Share of windows that may alarm although nothing drifted, over all their tests.",
)
@click.option(
    "--block",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="images in a group of val",
    help="Consecutive predictions that resemble each other, such as frames of a video; 1 if all are independent.",
)
@click.option("--version", metavar="N", show_default="the one that answered last", help="Version of the model.")
@click.option(
    "--val",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    show_default="the version's files in the registry",
    help="Folder with val_sample.safetensors.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="CSV",
    show_default="feedback/labels.csv",
    help="True classes that are known by now: columns label, and request_id (with row) or sha256.",
)
@click.option("--record/--no-record", default=True, help="Send windows to MLflow, in the experiment vit-monitoring.")
@click.option("--serve", is_flag=True, help="Go on, with /metrics for Prometheus (requirements-monitor.txt).")
@click.option("--port", type=click.IntRange(1, 65535), default=9105, help="Port of --serve.")
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address of --serve; one that others reach needs a password.",
)
@json_option(
    "one object: version, window, block, false_alarms, windows (each number, start, end, predictions, blocks, tests by "
    "figure, values, smallest_p, alarms), since (predictions after them), dropped, accuracy (or null)"
)
def monitor(
    log: Path,
    window: str,
    rate: float,
    block: int | None,
    version: str | None,
    val: Path | None,
    labels: Path | None,
    record: bool,
    serve: bool,
    port: int,
    host: str,
    as_json: bool,
) -> None:
    """Compare what servers answered with val, window by window.

    The exit status is 3 if the last complete window alarms, or live accuracy is below the test score.
    """
    from vit.config.params_file import load_params
    from vit.monitoring.answer import Asked, answer
    from vit.monitoring.windows import Window

    name = load_params().register_.name
    asked = Asked(log, Window.parse(window), rate, name, version, block, val)
    if serve:
        _serve(asked, host, port)
        return
    found = answer(asked)
    accuracy = _accuracy(found, labels)
    if as_json:
        print_json(_as_object(found, accuracy))
    else:
        _print(found, accuracy)
    if record and found.question.version and (found.found or accuracy):
        from vit.monitoring.recorded import record as send

        send(name, found.question, found.found, accuracy)
    if _is_alarm(found, accuracy):
        sys.exit(ALARM)


def _accuracy(found: "Comparisons", table: Path | None) -> "Accuracy | None":
    from vit.files import project_root
    from vit.monitoring.accuracy import labels_from_corrections, labels_from_table, live_accuracy
    from vit.monitoring.logged import read_log

    labels = labels_from_corrections(project_root()) if table is None else labels_from_table(table)
    if table is None and not labels.by_digest:
        return None
    rows = read_log(found.question.log, found.question.version, without=["embedding"])
    accuracy = live_accuracy(rows, labels, found.question.block)
    if accuracy is None and table is not None:
        raise UserError(f"--labels {table}: none of its labels is of a prediction of version {found.question.version}")
    return accuracy


def _is_alarm(found: "Comparisons", accuracy: "Accuracy | None") -> bool:
    from vit.monitoring.accuracy import is_worse

    drifted = bool(found.found and found.found[-1].alarms(found.question.rate))
    return drifted or (accuracy is not None and is_worse(accuracy, found.known.scores))


def _print(found: "Comparisons", accuracy: "Accuracy | None") -> None:
    from vit.monitoring.accuracy import is_worse, said_of
    from vit.monitoring.drift_report import as_text
    from vit.monitoring.logged import dropped

    print("\n".join(as_text(found.question, found.found, found.rest, found.known.val, dropped(found.question.log))))
    if accuracy is not None:
        scores = found.known.scores
        print(f"\n{said_of(accuracy, scores)}{'  ALARM' if is_worse(accuracy, scores) else ''}")


def _as_object(found: "Comparisons", accuracy: "Accuracy | None") -> dict:
    from vit.monitoring.logged import dropped

    question = found.question
    return {
        "version": question.version,
        "window": str(question.window),
        "block": question.block,
        "false_alarms": question.rate,
        "windows": [asdict(one) | {"alarms": one.alarms(question.rate)} for one in found.found],
        "since": found.rest.num_rows,
        "dropped": dropped(question.log),
        "accuracy": None if accuracy is None else asdict(accuracy),
    }


def _serve(asked: "Asked", host: str, port: int) -> None:
    from importlib.util import find_spec

    if find_spec("prometheus_client") is None:
        raise UserError("--serve needs prometheus_client; install requirements-monitor.txt")
    from vit.monitoring.answer import answer
    from vit.monitoring.series import Result
    from vit.monitoring.sidecar import Sidecar, serve

    def look() -> tuple[str, Result | None]:
        found = answer(asked)
        return found.question.version, found.found[-1] if found.found else None

    serve(Sidecar(asked.log, look, asked.rate), host, port)
