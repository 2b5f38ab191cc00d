"""The frame: it starts, shows its pages and talks to nobody else."""

import pytest

from tests.conftest import clone
from tests.studio.browser import DESKTOP, chromium, needs_chromium, only_loopback, studio_of

pytestmark = [pytest.mark.long, needs_chromium]
PAGES = ("Overview", "Data", "Train", "Runs", "Ask", "Look inside", "Predict and check")


def test_every_page_opens_in_a_fresh_clone_and_asks_no_outside_host(tmp_path):
    with studio_of(clone(tmp_path)) as address, chromium() as browser:
        page = browser.new_page(viewport=DESKTOP)
        outside = only_loopback(page)
        page.goto(address)
        for title in PAGES:
            page.get_by_role("link", name=title, exact=True).click()
            page.get_by_role("heading", name=title, exact=True, level=1).wait_for()
        assert outside == []
