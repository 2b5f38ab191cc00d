"""Windows as metrics in MLflow: a run per version in an experiment beside that of the trainings, a step per window."""

import re
import time
from collections.abc import Sequence

from mlflow.entities import Metric

from vit.errors import UserError
from vit.monitoring.accuracy import Accuracy
from vit.monitoring.series import Question, Result
from vit.tracking.run import send_missing
from vit.tracking.store import STORE_ERRORS, Store, first_line, open_store

BESIDE = "-monitoring"  # the experiment is vit-monitoring
NOT_IN_A_NAME = re.compile(r"[^-/:. \w]")  # characters that MLflow refuses in the name of a metric
OF = "monitored"  # tag of a run: what it is of


def record(name: str, question: Question, found: Sequence[Result], accuracy: Accuracy | None) -> str:
    """Send what the run of this series lacks; returns its id. Raises UserError if the store fails."""
    store = open_store(BESIDE)
    try:
        run_id = _run_of(store, name, question)
        send_missing(store.client, run_id, [point for one in found for point in _points(one, question.rate)])
        if accuracy is not None:
            _send_accuracy(store, run_id, accuracy)
    except STORE_ERRORS as error:
        raise UserError(
            f"the windows were not sent to MLflow ({first_line(error)}); they are kept in {question.log}, so run "
            "`vit monitor` again, or with --no-record"
        ) from error
    return run_id


def _run_of(store: Store, name: str, question: Question) -> str:
    of = f"{name}/{question.version} {question.window} {question.block} {question.rate:g}"
    runs = store.client.search_runs([store.experiment_id], f"tags.{OF} = '{of}'")
    if runs:
        return runs[0].info.run_id
    tags = {OF: of, "version": question.version, "window": str(question.window), "block": str(question.block)}
    title = f"{name} version {question.version}, windows of {question.window}"
    return store.client.create_run(store.experiment_id, tags=tags, run_name=title).info.run_id


def _points(result: Result, rate: float) -> list[Metric]:
    values = dict(result.values) | {"predictions": result.predictions, "alarms": len(result.alarms(rate))}
    for name, test in result.tests.items():
        values |= {f"{name}_distance": test.distance, f"{name}_p": test.adjusted}
    return [
        Metric(NOT_IN_A_NAME.sub("_", key), value, int(1000 * result.end), result.number)
        for key, value in values.items()
    ]


def _send_accuracy(store: Store, run_id: str, accuracy: Accuracy) -> None:
    """A point per change: labels come later than the windows, and more of them with time."""
    values: dict[str, float] = {"live_accuracy": accuracy.value, "live_labels": accuracy.images}
    if accuracy.low is not None and accuracy.high is not None:
        values |= {"live_accuracy_low": accuracy.low, "live_accuracy_high": accuracy.high}
    known = store.client.get_run(run_id).data.metrics
    if any(known.get(name) != value for name, value in values.items()):
        now = int(1000 * time.time())
        store.client.log_batch(run_id, [Metric(name, value, now, accuracy.images) for name, value in values.items()])
