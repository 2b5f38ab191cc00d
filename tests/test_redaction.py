"""No secret leaves: neither from a URI nor from the environment."""

import logging
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vit.errors import RedactingFormatter, one_line
from vit.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@host:5000 is away", "http://***@host:5000 is away"),
        ("postgresql+psycopg2://mlflow:p@ss/w0rd@db:5432/mlflow", "postgresql+psycopg2://***@db:5432/mlflow"),
        ("https://token@github.com/o/r.git", "https://***@github.com/o/r.git"),
        ("('https://me:pw@host/x', 'http://me:pw@other')", "('https://***@host/x', 'http://***@other')"),
        ("s3://bucket/a?X-Amz-Signature=abc&b=c (403)", "s3://bucket/a?*** (403)"),
        ("Authorization: Bearer hf_abcdefgh", "Authorization: Bearer ***"),
        ("http://host:5000/images/me@home.png", "http://host:5000/images/me@home.png"),
        ("models:/vit@champion, runs:/1/models, a?b", "models:/vit@champion, runs:/1/models, a?b"),
        ("sqlite:////data/a%3Fb/mlflow.db", "sqlite:////data/a%3Fb/mlflow.db"),
    ],
)
def test_users_passwords_and_queries_of_uris_are_hidden_and_the_rest_stays(text, shown):
    assert redacted(text) == shown


@given(
    st.sampled_from(["http", "https", "mysql+pymysql", "postgresql", "s3", "hdfs"]),
    st.text(string.ascii_letters + string.digits + "%$!&*+=._~-:/@", min_size=6),
)
def test_no_password_in_a_uri_is_shown(scheme, password):
    shown = redacted(f"cannot open {scheme}://user:p{password}z@host.example.org/path now")
    assert f"p{password}z" not in shown and shown.endswith("host.example.org/path now")


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "KAGGLE_KEY"])
def test_what_the_environment_keeps_secret_is_hidden_wherever_it_stands(monkeypatch, name):
    monkeypatch.setenv(name, "do-not-show")
    assert redacted("denied: do-not-show, or so") == "denied: ***, or so"


def test_a_password_in_the_uri_of_the_store_is_hidden_also_where_it_stands_alone(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:my%20secret@host")
    assert redacted("user 'me' with 'my secret' or my%20secret") == "user 'me' with '***' or ***"


def test_errors_and_the_traces_in_the_log_are_redacted():
    with pytest.raises(ValueError, match="token=x") as raised:
        raise ValueError("http://me:pw@host/?token=x")
    assert one_line(raised.value) == "http://***@host/?***"
    trace = (raised.type, raised.value, raised.tb)
    text = RedactingFormatter().format(
        logging.LogRecord("vit", logging.DEBUG, "", 1, "stopped at %s", ("http://a:b@c",), trace)
    )
    assert text.startswith("stopped at http://***@c") and text.endswith("ValueError: http://***@host/?***")
