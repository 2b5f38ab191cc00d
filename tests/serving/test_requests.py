"""The strict reading of bodies, and what stands in front of MLflow's server, without a server."""

import inspect
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from vit.serving import guard
from vit.serving.refusal import Refusal
from vit.serving.requests import FIELDS, read_request
from vit.serving.settings import Limits

pytestmark = pytest.mark.long

LIMITS = Limits(9, 10**6, 10**6)
GOOD = json.dumps({"inputs": ["AAAA"]}).encode()
CELLS = st.none() | st.integers() | st.text() | st.floats()
COLUMNS = st.dictionaries(st.sampled_from(["image", "other"]), CELLS | st.lists(CELLS, max_size=3))
TABLES = CELLS | COLUMNS | st.lists(CELLS | COLUMNS, max_size=3)
PAYLOADS = st.dictionaries(st.sampled_from([*FIELDS, "params", "other"]), TABLES, max_size=2)


def read(body: bytes, content_type: str) -> list[str] | Refusal:
    try:
        return read_request(body, content_type)[0]
    except Refusal as refusal:
        return refusal


@settings(max_examples=200, deadline=None)
@given(PAYLOADS)
def test_whatever_the_json_it_is_refused_or_becomes_rows_of_text(payload):
    rows = read(json.dumps(payload).encode(), "application/json")
    assert isinstance(rows, Refusal) or all(type(cell) is str for cell in rows)


@settings(max_examples=200, deadline=None)
@given(st.binary() | st.text().map(str.encode), st.sampled_from(["application/json", "text/csv"]))
def test_whatever_the_bytes_they_are_refused_or_become_rows_of_text(body, content_type):
    rows = read(body, content_type)
    assert isinstance(rows, Refusal) or all(type(cell) is str for cell in rows)


@pytest.mark.parametrize("value", ["8", 0, -1, 1.5, True, None])
def test_a_limit_that_is_set_anew_to_nonsense_is_named_when_the_model_is_loaded(value):
    with pytest.raises(MlflowException, match=r"max_rows is .*; it must be an integer >= 1"):
        Limits.read({"max_rows": value, "max_bytes": 1, "max_pixels": 1})


def test_an_error_of_the_server_itself_is_one_sentence_without_its_trace(caplog):
    def broken():
        raise RuntimeError("secret")

    with pytest.raises(Refusal) as raised:
        guard.guarded(broken, str)(GOOD, "application/json", None, None)
    assert raised.value.get_http_status_code() == 500 and "secret" not in raised.value.serialize_as_json()
    assert "secret" in caplog.text


def test_the_server_of_this_mlflow_is_the_one_that_the_guard_knows():
    assert list(inspect.signature(scoring_server.invocations).parameters) == guard.KNOWN
    assert "invocations, data, content_type, model, input_schema" in inspect.getsource(scoring_server.init)


def test_another_server_is_not_guarded_but_refused(monkeypatch):
    monkeypatch.setattr(scoring_server, "invocations", lambda request: None)
    with pytest.raises(MlflowException, match=r"requirements\.txt"):
        guard.install(lambda: None)
