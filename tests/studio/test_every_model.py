"""Every page for every kind of model, on tiny trainings; and a champion moved by hand among them."""

import psutil
import pytest

from tests.conftest import Project, clone
from tests.store import look
from tests.studio.browser import DESKTOP, chromium, needs_chromium, settled, studio_of
from tests.studio.visits import open_page, visit_all

pytestmark = [pytest.mark.long, pytest.mark.slow, needs_chromium]

TINY = {"data.shapes_per_class": 30, "train.epochs": 2, "train.warmup_epochs": 1, "register.min_images": 4}
KINDS = {
    "cls": {"model.pool": "cls"},
    "avg": {"model.pool": "avg"},
    "cnn": {"model.name": "cnn"},
    "torchvision": {"model.name": "torchvision/resnet18"},
    "distilled": {"train.teacher": "weights/teacher", "train.distillation": "hard"},
}
MOST_MEMORY = 1_200  # MB of the server after all pages, beside a training


def settings(values: dict[str, object]) -> str:
    return " ".join(f"-S {key}={value}" for key, value in values.items())


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    made = clone(tmp_path_factory.mktemp("every") / "<b>*model*</b>")
    made.run("vit preset shapes --force && git commit -qam shapes")
    return made


def train(project: Project, kind: str) -> None:
    """A model of this kind in the workspace, as champion, challenger or neither."""
    if kind == "distilled":
        project.run("cp -r model weights/teacher")
    project.run("git checkout -q params.yaml")
    project.run(f"dvc exp run --quiet {settings(TINY | KINDS[kind])}")


@pytest.mark.parametrize("kind", KINDS)
def test_no_page_breaks_whatever_the_model_is(project, kind):
    train(project, kind)
    newest = look(project).aliases["challenger"]
    project.run(f"vit registry promote {newest} --reason 'to look at it' || true")  # the first one is champion
    with studio_of(project) as address, chromium() as browser:
        visit_all(browser, address, DESKTOP)
        server = next(
            one for one in psutil.process_iter(["cmdline"]) if address.rpartition(":")[2] in str(one.info["cmdline"])
        )
        assert server.memory_info().rss / 1e6 < MOST_MEMORY


def test_a_version_is_promoted_with_its_reason_and_rolled_back_again_by_the_keyboard(project):
    """The gate refuses a version, a person promotes it and goes back."""
    before = look(project)
    champion = before.aliases["champion"]
    other = next(str(one.version) for one in before.versions[::-1] if str(one.version) != champion)
    reason = "to see `it` <b>work</b>"
    with studio_of(project) as address, chromium() as browser:
        page = browser.new_page(viewport=DESKTOP)
        open_page(page, address, "runs")
        field = page.get_by_label("Reason", exact=True)
        field.fill(reason)
        field.press("Tab")
        settled(page)
        page.get_by_role("button", name="Promote", exact=True).press("Enter")
        page.get_by_role("button", name=f"Make version {other} champion").press("Enter")
        page.get_by_text(f"Version {other} is now champion").wait_for()
        assert look(project).aliases["champion"] == other
        assert look(project).client.get_model_version("vit", other).tags["promoted_by_hand"] == reason
        page.get_by_test_id("stCaptionContainer").filter(has_text=f"promoted by hand: {reason}").wait_for()
        page.get_by_role("button", name="Roll back", exact=True).press("Enter")
        page.get_by_role("button", name="Return to the champion before").press("Enter")
        page.get_by_text(f"Version {champion} is champion again").wait_for()
        assert look(project).aliases["champion"] == champion
