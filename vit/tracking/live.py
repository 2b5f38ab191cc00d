"""Live reporting of a training to MLflow, without slowing it down."""

import logging
import os
import queue
import threading
from collections.abc import Callable

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from vit.errors import UserError
from vit.tracking.run import RunDescription, find_or_create_run, send, send_missing, training_points
from vit.tracking.store import STORE_ERRORS, first_line, open_store, tracking_uri

log = logging.getLogger("vit")

LIVE_PATIENCE = 5  # seconds that a request may take; the training does not wait for it


class LiveRun:
    """Reports a training to MLflow while it runs, from a separate thread.

    An unreachable or slow store does not affect the training: missing points are sent when it is back, or by
    `register`. Use as a context manager; the run ends FINISHED, or FAILED or KILLED after an exception.
    """

    def __init__(self, description: RunDescription):
        self._description = description
        self._states: queue.SimpleQueue[list[Metric] | str] = queue.SimpleQueue()  # points, then a final status
        self._epochs_shown = 0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def __enter__(self) -> "LiveRun":
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(LIVE_PATIENCE)
        self._states.put([])
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._states.put("FINISHED" if kind is None else "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")
        self._thread.join(timeout=4 * LIVE_PATIENCE)

    def show(self, history: list[dict], learning_rates: list[float], clock: list[dict]) -> None:
        """Report the training so far; call it only after the checkpoint that contains it was written."""
        if self._thread.is_alive():
            self._states.put(training_points(history, learning_rates, clock, first=self._epochs_shown))
            self._epochs_shown = len(history)

    def _work(self) -> None:
        live: _Connection | None = None
        unsent: list[Metric] = []
        is_away = False
        status: str | None = None
        while status is None:
            state = self._states.get()
            if isinstance(state, str):
                status = state
            else:
                unsent += state
            try:
                live = live or _Connection(self._description)
                if live.was_finished:
                    break
                live.send(unsent, status)
                unsent = []
                if is_away:
                    log.warning("reported live to MLflow again, with all that was missing")
                is_away = False
            except (UserError, *STORE_ERRORS) as error:
                if not is_away:  # every epoch would say it
                    log.warning(
                        f"not reported live to MLflow: {first_line(error)}; training continues, and `register` "
                        "publishes it"
                    )
                is_away = True
        if live is not None:
            live.close()


class _Connection:
    """One run in a store that has responded at least once."""

    def __init__(self, description: RunDescription):
        self._client, run = _open_run(description)
        self._run_id = run.info.run_id
        self._deliver: Callable[[MlflowClient, str, list[Metric]], object] = (
            send_missing  # a resumed run already has some points
        )
        self._monitor = None
        self.was_finished = run.info.status == "FINISHED"
        if self.was_finished:
            log.info(f"MLflow already has this training: run '{run.info.run_name}'")
            return
        self._client.update_run(self._run_id, status="RUNNING")
        self._monitor = SystemMetricsMonitor(self._run_id, resume_logging=True, tracking_uri=tracking_uri())
        self._monitor.start()

    def send(self, points: list[Metric], status: str | None) -> None:
        deliver, self._deliver = self._deliver, send_missing  # after a failure it is unknown what arrived
        deliver(self._client, self._run_id, points)
        if status:
            self._client.set_terminated(self._run_id, status)
        self._deliver = send if points else deliver

    def close(self) -> None:
        if self._monitor is not None:
            self._monitor.finish()


def _open_run(description: RunDescription) -> tuple[MlflowClient, Run]:
    store = open_store()
    return store.client, find_or_create_run(store, description)
