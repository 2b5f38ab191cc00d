"""Page Train: its form without a browser, and a training that is started, watched, stopped and gone on with in one."""

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page
from streamlit.testing.v1 import AppTest

from tests.conftest import REPO, Project, clone
from tests.presets import write_preset
from tests.studio.browser import DESKTOP, chromium, needs_chromium, studio_of
from vit.config.entries import fields
from vit.config.presets import preset_names
from vit.tracking.progress import Seen, trainings

PAGE = REPO / "studio/pages/train.py"
LITTLE = {"data.shapes_per_class": 20, "train.epochs": 4, "train.threads": 1, "evaluate.explain_images": 0}


@pytest.fixture
def page(monkeypatch) -> AppTest:
    monkeypatch.chdir(REPO)
    return AppTest.from_file(str(PAGE), default_timeout=60).run()


def said(page: AppTest) -> str:
    return " ".join(error.value.replace("\\", "") for error in page.error)


def commands(page: AppTest) -> list[str]:
    return [code.value for code in page.code if code.value.startswith("dvc")]


def test_every_preset_shows_a_widget_for_every_parameter(page):
    for name in preset_names(REPO / "presets"):
        page.selectbox(key="preset").set_value(name).run()
        assert not page.exception
        shown = {widget.label.split(" ")[0] for kind in (page.text_input, page.selectbox) for widget in kind}
        assert {key for key, _ in fields()} <= shown


def test_a_wrong_value_shows_its_sentence_and_no_start(page):
    field = page.text_input(key="train params.yaml as it is train.lr single")
    field.set_value("-1").run()
    assert "train.lr is -1: input should be greater than 0" in said(page) and commands(page) == []
    field.set_value("0.001").run()
    assert said(page) == "" and commands(page)[0] == "dvc exp run --queue -S train.lr=0.001"


def test_an_error_of_two_keys_stands_at_both(page):
    page.text_input(key="train params.yaml as it is train.min_lr single").set_value("5").run()
    sentence = "min_lr 5.0 must not exceed lr 0.002"
    assert said(page).count(sentence) == 3  # at train.lr, at train.min_lr, and at the end


def test_a_grid_counts_its_runs_and_the_tiny_subset_is_a_parameter(page):
    page.segmented_control(key="mode").set_value("Grid").run()
    page.text_input(key="train params.yaml as it is train.lr grid").set_value("0.001, 3e-3").run()
    page.multiselect(key="train params.yaml as it is model.pool grid").set_value(["cls", "avg"]).run()
    page.toggle(key="tiny").set_value(True).run()
    page.number_input(key="jobs").set_value(2).run()
    assert [one.value for one in page.success] == ["Valid: 4 runs, 3 keys differ from params.yaml."]
    sweep = "-S split.subset_per_class=90 -S model.pool=cls,avg -S train.lr=0.001,0.003"
    assert commands(page) == [f"dvc exp run --queue {sweep}", "dvc queue start -j 2"]


def test_a_folder_whose_name_dvcs_queue_cannot_take_gets_the_command_for_a_terminal(tmp_path, monkeypatch):
    folder = tmp_path / "what?"
    for name in ("presets", "params.yaml"):
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", str(REPO / name), str(target)], check=True)
    monkeypatch.chdir(folder)
    page = AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert "because of its name; rename the folder" in said(page) and commands(page) == ["dvc exp run"]
    assert not [button for button in page.button if button.label.startswith("Start")]


def little(folder: Path, **changes) -> Project:
    """A clone with a training of seconds; its parameters are committed."""
    project = clone(folder)
    write_preset(project.folder / "params.yaml", "shapes", LITTLE | changes)
    project.run("git commit -qam little")
    return project


def opened(browser, address: str) -> Page:
    page = browser.new_page(viewport=DESKTOP)
    page.set_default_timeout(180_000)
    page.goto(address)
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_role("heading", name="Train", exact=True, level=1).wait_for()
    return page


def seen_in(project: Project) -> Seen:
    (one,) = trainings(project.folder)
    return one


@pytest.mark.long
@needs_chromium
def test_a_training_is_started_watched_across_a_reload_stopped_and_gone_on_with(tmp_path):
    project = little(tmp_path, **{"train.epochs": 2000})
    with studio_of(project) as address, chromium() as browser:
        page = opened(browser, address)
        page.get_by_role("button", name="Start training").click()
        page.get_by_text(re.compile(r"running, .* of 2000 epochs.* left")).wait_for()
        page.get_by_text("The numbers of these charts").wait_for()
        page.reload()
        page.get_by_text(re.compile(r"running, .* of 2000 epochs")).wait_for()
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("was not started in this browser window").wait_for()  # as a reload begins a new session
        page.get_by_role("button", name="Stop it anyway").click()
        page.get_by_text(re.compile("stopped, ")).wait_for()
        stopped = seen_in(project)
        assert stopped.state == "stopped" and 0 < stopped.how_far["steps"] < stopped.record["steps"]
        page.get_by_role("button", name="Go on").click()
        page.get_by_text(re.compile(r"running, .* of 2000 epochs")).wait_for()
        gone_on = seen_in(project)
        assert gone_on.name == stopped.name and gone_on.how_far["steps"] >= stopped.how_far["steps"]
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text(re.compile("stopped, ")).wait_for()
