"""The frame: it starts, shows its pages and talks to nobody else."""

import time

import pytest

from tests.conftest import Speed, clone
from tests.studio.browser import DESKTOP, chromium, needs_chromium, only_loopback, studio_of
from tests.studio.visits import PAGES

pytestmark = [pytest.mark.long, needs_chromium]


def test_every_page_opens_in_a_fresh_clone_and_asks_no_outside_host(tmp_path):
    with studio_of(clone(tmp_path)) as address, chromium() as browser:
        page = browser.new_page(viewport=DESKTOP)
        outside = only_loopback(page)
        page.goto(address)
        for title in PAGES.values():
            page.get_by_role("link", name=title, exact=True).click()
            page.get_by_role("heading", name=title, exact=True, level=1).wait_for()
        assert outside == []


@pytest.mark.slow
def test_the_first_page_shows_within_3_seconds_of_the_command(tmp_path):
    """Twice that is allowed: this is one measurement, and the browser needs part of the machine."""
    project = clone(tmp_path)
    with chromium() as browser:
        page = browser.new_page(viewport=DESKTOP)
        speed = Speed()
        speed.start()
        began = time.monotonic()
        with studio_of(project) as address:
            page.goto(address)
            page.get_by_role("heading", name="Overview", exact=True, level=1).wait_for()
            seconds = (time.monotonic() - began) * speed.stop()
    print(f"first page after {seconds:.1f} s")
    assert seconds < 6
