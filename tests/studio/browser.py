"""Debian's chromium, driven over the Studio's pages; tests are skipped where there is none."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import Project, free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: `apt-get install chromium`")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
SCREENSHOTS = os.environ.get("VIT_SCREENSHOTS")  # a folder: tests write what they saw there
PATIENCE = 60_000  # milliseconds, on a machine that others use too
IS_SETTLED = """
    const is = name => document.querySelector(name) !== null
    return document.querySelector("[data-testid=stApp]").dataset.testScriptState === "notRunning"
        && !is("[data-testid=stSkeleton]") && !is("[data-testid=stSpinner]") && !is("[data-stale=true]")
"""
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


def settled(page: Page) -> None:
    """Wait until the page's script has ended and its elements are drawn."""
    page.get_by_role("heading", level=1).first.wait_for(timeout=PATIENCE)
    page.wait_for_function(f"() => {{ {IS_SETTLED} }}", timeout=PATIENCE)


def accessibility_faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical: the rule, how often, and the first element that breaks it.

    Looked at up to three times: while a part of the page is drawn anew, its old text is faded for a moment.
    """
    found: list[str] = []
    for _ in range(3):
        found = [
            f"{one['id']} ({len(one['nodes'])}): {one['nodes'][0]['html'][:160]}"
            for one in Axe().run(page).response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        if not found:
            break
        page.wait_for_timeout(1500)
        settled(page)
    return found


def screenshot(page: Page, name: str) -> None:
    """Save the whole page as NAME-WIDTH.png in the folder VIT_SCREENSHOTS, if there is one."""
    if SCREENSHOTS is None or page.viewport_size is None:
        return
    shown = page.viewport_size
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": shown["width"], "height": min(6000, max(shown["height"], height))})
    page.wait_for_timeout(1000)  # charts are drawn anew
    settled(page)
    page.screenshot(path=Path(SCREENSHOTS, f"{name}-{shown['width']}.png"))
    page.set_viewport_size(shown)
