"""`/metrics` for Prometheus, from the prediction log: MLflow's scoring server has no place for a route of ours."""

import base64
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hmac import compare_digest
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from vit.errors import UserError, one_line
from vit.exposure import SHORTEST, is_loopback
from vit.monitoring.series import Result
from vit.monitoring.totals import Buckets, Totals

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PASSWORD = "VIT_MONITOR_PASSWORD"
EVERY = 15.0  # seconds between looks at the log
log = logging.getLogger("vit")

Look = Callable[[], tuple[str, Result | None]]  # the version that answered last, and its last window


class Sidecar:
    """A Prometheus collector; `update` reads the log, and `collect` says what was read."""

    def __init__(self, folder: Path, look: Look, rate: float):
        self._folder, self._look, self._rate = folder, look, rate
        self._totals = Totals()
        self._version = ""
        self._last: Result | None = None
        self._lock = threading.Lock()
        self._said: str | None = None

    def update(self) -> None:
        """Raises nothing: a log that is not there yet, or a registry that does not respond, is said once."""
        try:
            with self._lock:
                self._totals.update(self._folder)
            version, last = self._look()
            with self._lock:
                self._version, self._last = version, last
            self._said = None
        except UserError as error:
            if self._said != (said := one_line(error)):
                log.warning(said)
            self._said = said

    def collect(self) -> Iterator["Metric"]:
        with self._lock:
            yield from _of_totals(self._totals)
            if self._last is not None:
                yield from _of_window(self._last, self._version, self._rate)


def _of_totals(totals: Totals) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # late: an extra

    requests = CounterMetricFamily("vit_requests", "Requests that were answered", labels=["version"])
    for version, count in totals.requests.items():
        requests.add_metric([version], count)
    predictions = CounterMetricFamily("vit_predictions", "Images by predicted class", labels=["version", "label"])
    for key, count in totals.predictions.items():
        predictions.add_metric(key, count)
    last = GaugeMetricFamily("vit_last_prediction_timestamp_seconds", "When a version answered", labels=["version"])
    for version, at in totals.last.items():
        last.add_metric([version], at)
    yield from (requests, predictions, last)
    yield _histogram("vit_confidence", "Confidence of the predictions", totals.confidence)
    yield _histogram("vit_request_seconds", "Seconds that a request took", totals.latency)
    yield CounterMetricFamily("vit_dropped_predictions", "Predictions that could not be logged", value=totals.dropped)


def _histogram(name: str, meaning: str, by_version: Mapping[str, Buckets]) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, meaning, labels=["version"])
    for version, buckets in by_version.items():
        ends = [*(f"{end:g}" for end in buckets.ends), "+Inf"]
        family.add_metric([version], list(zip(ends, buckets.counts.cumsum(), strict=True)), buckets.sum)
    return family


def _of_window(result: Result, version: str, rate: float) -> Iterator["Metric"]:
    """The last complete window of the version that answered last."""
    from prometheus_client.core import GaugeMetricFamily

    labels, alarms = ["version", "figure"], result.alarms(rate)
    meanings = {
        "distance": "Distance between the last window and val, 0 to 1",
        "p": "Its p, adjusted for all figures of the window",
        "alarm": "1 if that is an alarm",
    }
    families = {name: GaugeMetricFamily(f"vit_drift_{name}", text, labels=labels) for name, text in meanings.items()}
    for figure, test in result.tests.items():
        for name, value in (("distance", test.distance), ("p", test.adjusted), ("alarm", figure in alarms)):
            families[name].add_metric([version, figure], float(value))
    yield from families.values()
    for name, text, value in (
        ("number", "Number of the last window", result.number),
        ("predictions", "Predictions in it", result.predictions),
        ("end_timestamp_seconds", "When it ended", result.end),
    ):
        family = GaugeMetricFamily(f"vit_window_{name}", text, labels=["version"])
        family.add_metric([version], value)
        yield family


def serve(sidecar: Sidecar, host: str, port: int) -> None:
    """Answer on http://HOST:PORT/metrics until interrupted. Raises UserError as `listening`."""
    sidecar.update()
    with listening(sidecar, host, port):
        print(f"metrics on http://{host}:{port}/metrics", flush=True)
        while True:
            time.sleep(EVERY)
            sidecar.update()


@contextmanager
def listening(sidecar: Sidecar, host: str, port: int) -> Iterator[None]:
    """Answer from a thread until the block ends. Raises UserError if the address cannot be used, or if others can reach
    it and no password is set."""
    from prometheus_client import CollectorRegistry, make_wsgi_app

    password = os.environ.get(PASSWORD)
    if not is_loopback(host) and (password is None or len(password) < SHORTEST):
        raise UserError(
            f"--host {host}: others can reach the metrics; set a password of {SHORTEST} characters or more in the "
            f"environment variable {PASSWORD}, which Prometheus sends with basic_auth (any user name)"
        )
    registry = CollectorRegistry()
    registry.register(sidecar)  # pyrefly: ignore[bad-argument-type]  # it wants no base class, only collect
    application = make_wsgi_app(registry)
    try:
        server = make_server(host, port, _asking(application, password) if password else application, _Server, _Quiet)
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); choose another --port") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a client that is slow holds nobody up


class _Quiet(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        pass


def _asking(application: Callable, password: str) -> Callable:
    """`application` behind HTTP's basic authentication, with any user name."""

    def guarded(environ: dict, start_response: Callable):
        kind, _, text = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        try:
            typed = base64.b64decode(text).decode().partition(":")[2]
        except ValueError:
            typed = ""
        if kind.lower() == "basic" and compare_digest(typed.encode(), password.encode()):
            return application(environ, start_response)
        start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="vit monitor"')])
        return [b""]

    return guarded
