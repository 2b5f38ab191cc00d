"""Nobody sees anything without having been let in; a browser on another site reaches nothing."""

import socket
from contextlib import contextmanager

import pytest

from tests.conftest import Project, clone, free_port
from tests.studio.browser import chromium, needs_chromium, studio_of
from tests.studio.proxy import naming

pytestmark = pytest.mark.long
PASSWORD = "correct horse battery"
SECRETS = ("Overview", "Champion", "Pipeline")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return clone(tmp_path_factory.mktemp("access"))


@contextmanager
def started_by_streamlit(project: Project, **env: str):
    """The Studio on every address of this machine, without `vit studio` and what it checks."""
    port = free_port()
    command = f"python -m streamlit run studio/app.py --server.address 0.0.0.0 --server.port {port}"
    address = f"http://127.0.0.1:{port}"
    with project.running(command, f"{address}/_stcore/health", **env):
        yield address


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--host 0.0.0.0", "VIT_STUDIO_PASSWORD"),
        ("--host 192.0.2.1", "VIT_STUDIO_PASSWORD"),
        ("--allow /nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_vit_studio_refuses_to_let_anybody_in(project, options, says):
    done = project.run(f"vit studio {options}", succeeds=False)
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_password_that_is_too_short_is_refused_and_not_printed(project):
    done = project.run("vit studio --host 0.0.0.0", succeeds=False, VIT_STUDIO_PASSWORD="hunter2")
    assert "shorter than 12" in done.stderr and "hunter2" not in done.stdout + done.stderr


@needs_chromium
def test_on_every_address_it_shows_nothing_whoever_started_it(project):
    with started_by_streamlit(project) as address, chromium() as browser:
        for path in ("", "/runs"):
            page = browser.new_page()
            page.goto(address + path)
            page.get_by_text("The Studio shows nothing").wait_for()
            assert not any(page.get_by_text(word, exact=True).count() for word in SECRETS)


@needs_chromium
def test_the_password_lets_in_and_a_wrong_one_does_not(project):
    with studio_of(project, "--host 0.0.0.0", VIT_STUDIO_PASSWORD=PASSWORD) as address, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{address}/runs")
        field = page.get_by_label("Password", exact=True)
        field.fill("correct horse batter")
        field.press("Enter")
        page.get_by_text("Wrong password.").wait_for()
        assert page.get_by_role("heading", name="Runs").count() == 0
        field.fill(PASSWORD)
        field.press("Enter")
        page.get_by_role("heading", name="Runs", exact=True).wait_for()
        other = browser.new_page()  # a session of its own
        other.goto(address)
        other.get_by_label("Password", exact=True).wait_for()
    printed = project.read("logs/server.txt")
    assert "warning: others can reach the Studio on 0.0.0.0" in printed and PASSWORD not in printed


@needs_chromium
@pytest.mark.slow
def test_a_proxy_that_names_the_user_lets_in_and_a_request_past_it_does_not(project):
    with studio_of(project, "--proxy-header X-Forwarded-User") as address, chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        page.get_by_text("Come through the proxy").wait_for()
        assert page.get_by_role("heading", name="Overview", exact=True).count() == 0
        with naming(address, "X-Forwarded-User: me") as proxied:
            page.goto(proxied)
            page.get_by_role("heading", name="Overview", exact=True).wait_for()


def answer(address: str, **headers: str) -> str:
    """The first line that the Studio answers to a request for its websocket."""
    port = int(address.rpartition(":")[2])
    asked = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade"}
    asked |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw=="} | headers
    with socket.create_connection(("127.0.0.1", port), timeout=30) as opened:
        lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
        opened.sendall(f"GET /_stcore/stream HTTP/1.1\r\n{lines}\r\n".encode())
        return opened.recv(200).decode(errors="replace").split("\r\n")[0]


def test_a_page_of_another_site_gets_no_websocket_even_if_its_name_points_here(project):
    with studio_of(project) as address:
        assert "101" in answer(address, Origin=address)
        assert "403" in answer(address, Origin="http://evil.example")
        assert "403" in answer(address, Host="evil.example", Origin="http://evil.example")  # rebound DNS
