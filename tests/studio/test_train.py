"""Page Train: its form without a browser, and a training that is started, watched, stopped and gone on with in one."""

import re
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from shutil import copytree

import pytest
import streamlit as st
from playwright.sync_api import Page
from ruamel.yaml import YAML
from streamlit.testing.v1 import AppTest

from tests.conftest import REPO, Project, clone, free_port
from tests.presets import write_preset
from tests.studio.browser import DESKTOP, chromium, needs_chromium, settled, studio_of
from vit.config.entries import fields
from vit.config.presets import preset_names
from vit.tracking.progress import Seen, trainings

PAGE = REPO / "studio/screens/train.py"
LITTLE = {"data.shapes_per_class": 20, "train.epochs": 4, "train.threads": 1, "evaluate.explain_images": 0}

UNTRUE = ("Nothing is training", "The queue has no worker")  # of a training that was started
WATCH_FOR = """texts => {
    window.found = []
    const look = () => window.found.push(...texts.filter(text => document.body.textContent.includes(text)))
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true})
    look()
}"""


@pytest.fixture
def page(monkeypatch) -> AppTest:
    monkeypatch.chdir(REPO)
    monkeypatch.setattr(type(st.context), "cookies", {})  # AppTest has no browser, and a mock in its place
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


def test_every_wrong_field_says_why_and_so_does_the_end(page):
    wrong = {"train.epochs": "[1", "train.lr": "-1", "split.val_fraction": ".inf", "model.depth": ""}
    for key, text in wrong.items():
        page.text_input(key=f"train params.yaml as it is {key} single").set_value(text)
    page.run()
    sentences = [
        "train.epochs: cannot read '[1'",
        "train.lr is -1: input should be greater than 0",
        "split.val_fraction is .inf: input should be a finite number",
        "model.depth is null: input should be a valid integer",
    ]
    assert [said(page).count(sentence) for sentence in sentences] == [2, 2, 2, 2]
    assert len(page.error) == len(wrong) + 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data.path": "images"}, "is relative, which queued runs cannot use; set it to /"),
        ({"data.path": "/etc"}, "'/etc' is outside this project"),
        ({"data.path": "images/../.."}, "is outside this project"),
        ({"train.launcher": "torchrun other.py"}, "the Studio takes python or torchrun --nproc-per-node N"),
        ({"split.group_regex": "(${b})"}, "which `dvc exp run -S` cannot take"),
    ],
)
def test_no_field_names_a_folder_outside_or_another_program(page, changes, sentence):
    page.selectbox(key="train params.yaml as it is data.source single").set_value("folder")
    page.text_input(key="train params.yaml as it is data.path single").set_value(str(REPO / "images"))
    for key, text in changes.items():
        page.text_input(key=f"train params.yaml as it is {key} single").set_value(text)
    page.run()
    assert sentence in said(page) and commands(page) == []


def test_a_grid_counts_its_runs_and_the_tiny_subset_is_a_parameter(page):
    page.segmented_control(key="mode").set_value("Grid").run()
    page.text_input(key="train params.yaml as it is train.lr grid").set_value("0.001, 3e-3").run()
    page.multiselect(key="train params.yaml as it is model.pool grid").set_value(["cls", "avg"]).run()
    page.toggle(key="tiny").set_value(True).run()
    page.number_input(key="jobs").set_value(2).run()
    assert [one.value for one in page.success] == ["Valid: 4 runs, 3 keys differ from params.yaml."]
    sweep = "-S split.subset_per_class=90 -S model.pool=cls,avg -S train.lr=0.001,0.003"
    assert commands(page) == [f"dvc exp run --queue {sweep}", "dvc queue start -j 2"]


def test_a_preset_keeps_the_images_that_a_person_chose(page, tmp_path, monkeypatch):
    page.selectbox(key="preset").set_value("cifar10").run()
    assert not page.toggle(key="keep cifar10").value  # digits are no choice of a person
    assert "data.source=torchvision" in commands(page)[0]

    (tmp_path / "images").mkdir()
    copytree(REPO / "presets", tmp_path / "presets")
    write_preset(tmp_path / "params.yaml", "digits", {"data.source": "folder", "data.path": str(tmp_path / "images")})
    monkeypatch.chdir(tmp_path)
    own = AppTest.from_file(str(PAGE), default_timeout=60).run()
    for name in ("cifar10", "tom_and_jerry"):  # split by folders, by blocks of frames
        own.selectbox(key="preset").set_value(name).run()
        assert own.toggle(key=f"keep {name}").value
        assert "data." not in commands(own)[0] and "split." not in commands(own)[0]
        assert "pack.image_size" in commands(own)[0]


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


def start(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Start (training|[0-9]+ trainings)")).click()


def stop_button(page: Page):
    return page.get_by_role("button", name=re.compile("^Stop "))


def wait_for(page: Page, text: str) -> None:
    page.get_by_text(re.compile(text)).first.wait_for()


@needs_chromium
@pytest.mark.slow
def test_a_training_is_started_watched_across_a_reload_and_stopped(tmp_path):
    project = little(tmp_path, **{"train.epochs": 2000})
    with studio_of(project) as address, chromium() as browser:
        page = opened(browser, address)
        start(page)
        wait_for(page, "Starting the training: DVC is preparing it")
        page.evaluate(WATCH_FOR, [*UNTRUE])
        page.get_by_text("Data: Loss").wait_for()
        assert page.evaluate("window.found") == []
        page.reload()
        wait_for(page, "running, .* of 2000 epochs.* left")
        other = opened(browser, address)  # a browser of its own, without the cookies of the first one
        stop_button(other).click()
        other.get_by_text("was not started in this browser").wait_for()
        assert seen_in(project).state == "running"
        stop_button(page).click()  # it was started here, so nothing is asked
        wait_for(page, "stopping, ")
        wait_for(page, "stopped, ")
        stopped = seen_in(project)
        assert stopped.state == "stopped" and 0 < stopped.how_far["steps"] < stopped.record["steps"]


def weights_of(project: Project, commit: str) -> str:
    """The md5 of the trained model in a commit's dvc.lock."""
    lock = YAML(typ="safe", pure=True).load(project.run(f"git show {commit}:dvc.lock").stdout)
    (model,) = [out["md5"] for out in lock["stages"]["train"]["outs"] if out["path"] == "model"]
    return model


def experiments(project: Project) -> list[str]:
    """The commits of all finished experiments."""
    refs = project.run("git for-each-ref --format='%(refname)' refs/exps").stdout.split()
    return [ref for ref in refs if "/celery/" not in ref and ref.count("/") > 3]


@pytest.mark.slow
@needs_chromium
def test_a_stopped_training_goes_on_to_the_bytes_of_one_that_never_stopped(tmp_path):
    changes = {"train.epochs": 300, "train.batch_size": 16}
    project, whole = little(tmp_path / "stopped", **changes), little(tmp_path / "whole", **changes)
    with studio_of(project) as address, chromium() as browser:
        page = opened(browser, address)
        start(page)
        wait_for(page, "running, .* of 300 epochs.* left")
        stop_button(page).click()  # begun here, so nothing is asked
        wait_for(page, "stopped, ")
        stopped = seen_in(project)
        assert 0 < stopped.how_far["steps"] < stopped.record["steps"]
        page.get_by_role("button", name=re.compile("^Go on ")).click()
        wait_for(page, "Going on with .*: DVC is preparing it")
        page.get_by_text("Nothing is training").wait_for()
    (experiment,) = experiments(project)
    assert experiment.endswith(f"/{stopped.name}")
    whole.run("dvc repro train && git add dvc.lock && git commit -qm trained")
    assert weights_of(project, experiment) == weights_of(whole, "HEAD")


@pytest.mark.slow
@needs_chromium
def test_a_grid_of_two_by_two_runs_two_at_a_time(tmp_path):
    project = little(tmp_path, **{"train.epochs": 200})
    with studio_of(project) as address, chromium() as browser:
        page = opened(browser, address)
        page.get_by_text("Grid", exact=True).click()
        settled(page)
        page.get_by_text("train", exact=True).click()
        page.get_by_label("train.lr", exact=True).fill("0.001, 0.002")
        page.get_by_label("train.lr", exact=True).press("Enter")
        page.get_by_label("train.seed", exact=True).fill("0, 1")
        page.get_by_label("train.seed", exact=True).press("Enter")
        page.get_by_label("Runs at a time", exact=True).fill("2")
        page.get_by_label("Runs at a time", exact=True).press("Enter")
        page.get_by_text("dvc queue start -j 2").wait_for()
        start(page)
        page.get_by_role("button", name=re.compile("^Take .* out$")).first.wait_for()
        most = 0
        while len(experiments(project)) < 4:
            most = max(most, sum(one.state == "running" for one in trainings(project.folder)))
            time.sleep(0.2)
    assert most == 2
    texts = [project.run(f"git show {one}:params.yaml").stdout for one in experiments(project)]
    trained = [YAML(typ="safe", pure=True).load(text)["train"] for text in texts]
    assert sorted((one["lr"], one["seed"]) for one in trained) == [(0.001, 0), (0.001, 1), (0.002, 0), (0.002, 1)]
    assert len({weights_of(project, one) for one in experiments(project)}) == 4


@pytest.mark.slow
@needs_chromium
def test_a_training_of_a_terminal_shows_live_and_outlives_a_killed_studio(tmp_path):
    project = little(tmp_path, **{"train.epochs": 600})
    terminal = subprocess.Popen(
        ["dvc", "repro", "train"],
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    with chromium() as browser:
        port = free_port()
        studio = subprocess.Popen(
            [sys.executable, "-m", "vit", "studio", "--port", str(port)], cwd=project.folder, env=project.env
        )
        page = browser.new_page(viewport=DESKTOP)
        while not answers(port):
            time.sleep(0.1)
        page = opened(browser, f"http://127.0.0.1:{port}")
        wait_for(page, "running, .* of 600 epochs.* left")
        stop_button(page).click()
        page.get_by_text("was not started in this browser").wait_for()
        before = seen_in(project).how_far["steps"]
        studio.kill()
        studio.wait()
    assert terminal.wait(timeout=300) == 0
    assert before < seen_in(project).how_far["steps"] and seen_in(project).state == "finished"


@pytest.mark.slow
@needs_chromium
def test_a_queued_training_that_fails_says_the_line_of_the_stage_that_failed(tmp_path):
    project = little(tmp_path)
    project.run("dvc exp run --queue -S split.strategy=folders && dvc queue start -j 1")
    with studio_of(project) as address, chromium() as browser:
        page = opened(browser, address)
        wait_for(page, "split.strategy is folders, but the source has '.*' in none of train, val and test")
        page.get_by_role("button", name=re.compile("^Remove .* from the list$")).wait_for()
    assert experiments(project) == [] and trainings(project.folder) == []  # it failed before it trained


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
