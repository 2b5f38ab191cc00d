"""The Studio's pages Ask and Data in a real browser, over the trained clone."""

import re

import pytest
from playwright.sync_api import Page

from tests.conftest import Project
from tests.serving import pictures
from tests.studio.browser import DESKTOP, PHONE, SCREENSHOTS, chromium, needs_chromium, only_loopback, studio_of
from vit.data.corrections import read_corrections
from vit.files import read_json

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture
def corrected(project):
    """The trained clone; corrections of the test are deleted afterwards."""
    yield project
    project.run("git clean -fdxq feedback .vit && git checkout -q params.yaml && dvc repro download split")


def seen(page: Page, name: str) -> None:
    """Screenshots at both widths, if asked for."""
    if SCREENSHOTS:
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)
            page.wait_for_timeout(1500)
            height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
            page.set_viewport_size({"width": size["width"], "height": min(height, 8000)})
            page.wait_for_timeout(1500)
            page.screenshot(path=f"{SCREENSHOTS}/{name}-{size['width']}.png")
        page.set_viewport_size(DESKTOP)


def test_a_wrong_answer_on_ask_is_used_by_the_run_that_the_page_data_starts(corrected: Project):
    with studio_of(corrected) as address, chromium() as browser:
        page = browser.new_page(viewport=DESKTOP)
        page.set_default_timeout(60_000)
        outside = only_loopback(page)
        page.goto(f"{address}/ask")
        page.locator("input[type=file]").set_input_files(
            [
                {"name": "<b>five</b>.png", "mimeType": "image/png", "buffer": pictures.good(5)},
                {"name": "bomb.png", "mimeType": "image/png", "buffer": pictures.png(100_000, 100_000)},
            ]
        )
        page.get_by_role("heading", name="Predictions").wait_for()
        assert page.get_by_text("bomb.png: 10000000000 pixels, more than the 89478485 allowed").count() == 1
        page.get_by_role("img", name="<b>five</b>.png", exact=True).wait_for()
        page.get_by_role("img", name="where the model looked in").wait_for()
        seen(page, "ask")
        page.get_by_role("button", name="Wrong: <b>five</b>.png is ...").click()
        page.get_by_role("combobox", name="It is").click()
        page.get_by_role("option", name="7", exact=True).click()
        page.get_by_role("button", name="Keep the correction").click()
        page.get_by_text("corrected to 7 in feedback/images").wait_for()
        (row,) = read_corrections(corrected.folder / "feedback/labels.csv")
        assert (row.label, row.action) == ("7", "relabel")

        page.get_by_role("link", name="Data", exact=True).click()
        page.get_by_role("button", name="Use the corrections in the next run").click()
        page.get_by_text("The next run uses these corrections").wait_for()
        page.get_by_role("button", name="Fetch, split and pack the images").click()
        page.get_by_role("button", name="Stop", exact=True).wait_for()
        page.reload()  # the stages go on
        page.get_by_text("dvc repro pack is done.").wait_for(timeout=180_000)
        seen(page, "data")
        assert outside == []
    raw = read_json(corrected.folder / "data/raw.json")
    assert raw["corrections"] == {"kept": 0, "relabelled": 0, "removed": 0, "added": 1}
    train = corrected.read("data/splits/train.csv")
    assert re.search(rf"^7/train/feedback_{row.sha256}\.png,7,", train, re.M)
    assert row.sha256 not in corrected.read("data/splits/val.csv") + corrected.read("data/splits/test.csv")
