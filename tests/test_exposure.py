"""Who may reach a server of ours."""

import pytest

from vit.exposure import exposure_problem, is_loopback, is_password

LONG = "correct horse battery"


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("example.org", False), (None, False), ("", False), ("unix:///x", False)],
)  # fmt: skip
def test_only_addresses_of_this_machine_are_loopback(host, alone):
    assert is_loopback(host) is alone


@pytest.mark.parametrize(
    ("host", "env", "has_login", "says"),
    [
        ("127.0.0.1", {}, False, None),
        ("0.0.0.0", {}, False, "VIT_STUDIO_PASSWORD"),
        (None, {"VIT_STUDIO_PASSWORD": ""}, False, "shorter than 12"),
        ("0.0.0.0", {"VIT_STUDIO_PASSWORD": "eleven char"}, False, "shorter than 12"),
        ("127.0.0.1", {"VIT_STUDIO_PASSWORD": "hunter2"}, False, "shorter than 12"),
        ("0.0.0.0", {"VIT_STUDIO_PASSWORD": LONG}, False, None),
        ("0.0.0.0", {"VIT_STUDIO_PROXY_HEADER": "X-Forwarded-User"}, False, None),
        ("0.0.0.0", {"VIT_STUDIO_PROXY_HEADER": ""}, False, "proxy"),
        ("0.0.0.0", {}, True, "VIT_STUDIO_USERS"),  # any account of the provider would do
        ("0.0.0.0", {"VIT_STUDIO_USERS": "me@example.org"}, True, None),
    ],
)
def test_others_come_in_by_one_of_three_ways_only(host, env, has_login, says):
    problem = exposure_problem(host, env, has_login)
    assert problem is None if says is None else says in str(problem)
    assert not any(secret and secret in str(problem) for name, secret in env.items() if "PASSWORD" in name)


@pytest.mark.parametrize("typed", ["", LONG[:-1], LONG + " ", LONG.upper(), "\ud800"])
def test_only_the_whole_password_is_the_password(typed):
    env = {"VIT_STUDIO_PASSWORD": LONG}
    assert is_password(LONG, env) and not is_password(typed, env)
