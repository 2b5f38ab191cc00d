"""Debian's chromium, driven over the Studio's pages; tests are skipped where there is none."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import Project, free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: `apt-get install chromium`")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def studio_of(project: Project, *options: str, **env: str) -> Iterator[str]:
    """The Studio of a clone on a free port; yields its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with project.running(f"python -m vit studio --port {port} {' '.join(options)}", f"{address}/_stcore/health", **env):
        yield address


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


def only_loopback(page: Page) -> list[str]:
    """Collect every request of a page that goes to another host than this one; empty is good."""
    outside: list[str] = []

    def look(request) -> None:
        if not request.url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
            outside.append(request.url)

    page.on("request", look)
    return outside


SCREENSHOTS = os.environ.get("VIT_SCREENSHOTS")  # a folder: tests write what they saw there
