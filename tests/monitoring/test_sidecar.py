"""The sidecar over HTTP, as Prometheus asks it."""

import base64
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest

from tests.conftest import free_port
from tests.monitoring.made import START, log, rows, write_val
from vit.errors import UserError
from vit.monitoring.answer import Asked, answer
from vit.monitoring.logged import require_log
from vit.monitoring.sidecar import PASSWORD, Sidecar, listening, serve
from vit.monitoring.totals import Totals
from vit.monitoring.windows import Window

parser = pytest.importorskip("prometheus_client.parser", reason="needs requirements-monitor.txt")


def page(port: int, password: str | None = None) -> dict[tuple, float]:
    """The values on /metrics by name and labels, read by Prometheus' own parser."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics")
    if password is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(f'any:{password}'.encode()).decode()}")
    families = parser.text_string_to_metric_families(urllib.request.urlopen(request, timeout=10).read().decode())
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Start a sidecar over a log with one quiet and one dark window; it and its port."""
    with ExitStack() as stack:

        def start(password: str | None = None) -> tuple[Sidecar, int]:
            folder, port = tmp_path / "log", free_port()
            log(folder, "a", rows(50), dropped=3)
            log(folder, "b", rows(50, START + 100, bright=0.2, seed=2))
            asked = Asked(folder, Window.parse("50"), 0.05, "vit", val=write_val(tmp_path / "val"))

            def look():
                found = answer(asked, START + 10_000)
                return found.question.version, found.found[-1]

            if password is not None:
                monkeypatch.setenv(PASSWORD, password)
            one = Sidecar(folder, look, 0.05)
            one.update()
            stack.enter_context(listening(one, "127.0.0.1", port))
            return one, port

        yield start


def test_metrics_say_what_was_answered_dropped_and_what_drifted(started):
    _, port = started()
    version = ("version", "1")
    seen = page(port)
    assert seen["vit_requests_total", version] == 100 and seen["vit_dropped_predictions_total",] == 3
    assert seen["vit_predictions_total", ("label", "cat"), version] == 50
    assert seen["vit_confidence_count", version] == seen["vit_confidence_bucket", ("le", "+Inf"), version] == 100
    assert seen["vit_request_seconds_bucket", ("le", "0.005"), version] == 100
    assert seen["vit_drift_alarm", ("figure", "brightness"), version] == 1
    assert seen["vit_drift_alarm", ("figure", "labels"), version] == 0
    assert seen["vit_window_number", version] == 1


def test_a_log_that_is_not_there_yet_is_said_once_and_found_later(tmp_path, caplog):
    def look():
        require_log(tmp_path)
        return "1", None

    one = Sidecar(tmp_path, look, 0.05)
    one.update()
    one.update()
    assert caplog.text.count("no predictions are logged") == 1
    log(tmp_path, "a", rows(20))
    one.update()
    (requests,) = (family for family in one.collect() if family.name == "vit_requests")
    assert [sample.value for sample in requests.samples] == [20]


def test_a_password_is_asked_for_where_one_is_set(started):
    _, port = started("a long password")
    for wrong in (None, "another password"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            page(port, wrong)
    assert page(port, "a long password")["vit_requests_total", ("version", "1")] == 100


def test_others_are_not_let_in_without_a_password(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD, "short")
    with pytest.raises(UserError, match=r"--host 0\.0\.0\.0: others can reach the metrics; set a password"):
        serve(Sidecar(tmp_path, lambda: ("", None), 0.05), "0.0.0.0", free_port())


def test_an_address_in_use_is_named(started):
    one, port = started()
    with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{port}"):
        serve(one, "127.0.0.1", port)


def test_a_file_that_grows_is_counted_once_and_one_that_is_deleted_stays_counted(tmp_path):
    totals = Totals()
    log(tmp_path, "a", rows(10), dropped=1)
    totals.update(tmp_path)
    log(tmp_path, "a", rows(25), dropped=4)
    totals.update(tmp_path)
    totals.update(tmp_path)
    (tmp_path / "a.parquet").unlink()
    totals.update(tmp_path)
    assert (totals.requests["1"], totals.predictions["1", "cat"], totals.dropped) == (25, 13, 4)
