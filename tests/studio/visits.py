"""Walking through all pages of the Studio, and what must hold on each of them."""

from playwright.sync_api import Browser, Page

from tests.studio.browser import DESKTOP, accessibility_faults, only_loopback, screenshot, settled

PAGES = {
    "overview": "Overview",
    "data": "Data",
    "train": "Train",
    "runs": "Runs",
    "ask": "Ask",
    "inside": "Look inside",
    "predict_and_check": "Predict and check",
}


def open_page(page: Page, address: str, name: str) -> None:
    """Open a page by its address and wait until it is complete."""
    page.goto(f"{address}/{'' if name == 'overview' else name}")
    page.get_by_role("heading", name=PAGES[name], exact=True, level=1).wait_for()
    settled(page)


def visit_all(
    browser: Browser, address: str, viewport=DESKTOP, scheme: str = "light", picture: str | None = None
) -> None:
    """Open every page; none shows an error, is wider than the window, has a serious fault or asks an outside host."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    outside = only_loopback(page)
    for name in PAGES:
        open_page(page, address, name)
        assert page.get_by_test_id("stException").count() == 0, name
        assert page.get_by_text("Traceback (most recent call last)").count() == 0, name
        errors = page.get_by_test_id("stAlertContentError")
        assert errors.count() == 0, f"{name}: {errors.first.inner_text()}"
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, name
        escaped = page.locator(r'[aria-label*="\\"], [alt*="\\"]')  # these are read out as they are, not as Markdown
        assert escaped.count() == 0, f"{name}: {escaped.first.get_attribute('aria-label')}"
        faults = accessibility_faults(page)
        assert faults == [], f"{name}, {scheme}: {faults}"
        if picture is not None:
            _fill(page, name)
            screenshot(page, f"{picture}{name}")
    assert outside == []
    page.close()


def _fill(page: Page, name: str) -> None:
    """Bring something into the picture where a page waits for a person."""
    if name == "ask":
        page.get_by_text("Samples from the test split").click()
        settled(page)
        page.wait_for_timeout(2000)
        settled(page)
