"""The Studio on the trained digits: Overview and Runs, for everybody."""

import json

import pytest

from tests.store import look
from tests.studio.browser import DESKTOP, PHONE, accessibility_faults, chromium, needs_chromium, studio_of
from tests.studio.visits import open_page, visit_all

pytestmark = needs_chromium


def test_overview_and_runs_show_the_champion_and_a_screen_reader_can_use_them(project):
    champion = look(project).aliases["champion"]
    listed = {one["version"]: one for one in json.loads(project.run("vit registry list --json").stdout)}
    score = listed[int(champion)]["test_accuracy"]["value"]
    with studio_of(project) as address, chromium() as browser:
        page = browser.new_page(viewport=DESKTOP)
        open_page(page, address, "overview")
        page.get_by_text(f"{score:.4f}", exact=True).first.wait_for()
        assert accessibility_faults(page) == []
        open_page(page, address, "runs")
        page.get_by_role("heading", name="Versions").wait_for()
        assert accessibility_faults(page) == []


@pytest.mark.slow
def test_every_page_is_whole_at_both_widths_in_light_and_dark(project):
    with studio_of(project) as address, chromium() as browser:
        visit_all(browser, address, DESKTOP, "light", picture="")
        visit_all(browser, address, DESKTOP, "dark", picture="dark-")
        visit_all(browser, address, PHONE, "light", picture="")
