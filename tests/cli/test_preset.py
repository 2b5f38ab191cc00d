import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import documented
from tests.presets import REPO, whole_preset
from vit.cli.main import vit


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with the presets, as the commands see the repo."""
    (tmp_path / "presets").symlink_to(REPO / "presets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def run(*arguments: str, status: int = 0):
    done = CliRunner().invoke(vit, ["preset", *arguments])
    assert done.exit_code == status, done.output
    return done


def test_a_preset_is_written_whole_and_over_another_one_that_nobody_edited(project):
    assert "params.yaml now holds preset shapes" in run("shapes").stdout
    assert (project / "params.yaml").read_text() == whole_preset("shapes")
    run(documented("vit preset own_images").removeprefix("vit preset "))
    assert (project / "params.yaml").read_text() == whole_preset("own_images")


def test_an_edited_file_is_kept_unless_forced(project):
    edited = whole_preset("shapes").replace("lr: 0.002", "lr: 0.003")
    (project / "params.yaml").write_text(edited)
    refused = run("digits", status=1)
    assert "params.yaml was edited; save a copy" in refused.stderr and "--force" in refused.stderr
    assert (project / "params.yaml").read_text() == edited
    run("digits", "--force")
    assert (project / "params.yaml").read_text() == whole_preset("digits")


def test_the_list_says_what_each_preset_is(project):
    listed = json.loads(run("--list", "--json").stdout)
    assert set(listed) == {path.stem for path in (REPO / "presets").glob("*.yaml")}
    assert all(about.keys() == {"title", "data", "device", "time", "score"} for about in listed.values())
    shown = run("--list").stdout
    assert all(name in shown and about["title"] in shown for name, about in listed.items())


def test_missing_keys_are_added_and_named(project):
    text = whole_preset("shapes")
    (project / "params.yaml").write_text("".join(line for line in text.splitlines(True) if "clip_grad" not in line))
    assert run("--complete").stdout.startswith("params.yaml: added train.clip_grad\n")
    assert (project / "params.yaml").read_text() == text
    assert run("--complete").stdout == "params.yaml: holds every key\n"


@pytest.mark.parametrize("arguments", [(), ("shapes", "--list"), ("--list", "--complete"), ("shapes", "--json")])
def test_a_command_line_without_one_meaning_is_wrong_usage(project, arguments):
    assert "Usage: vit preset" in run(*arguments, status=2).stderr


@pytest.mark.parametrize("name", ["shape", "../presets/digits", "", "."])
def test_an_unknown_preset_writes_nothing(project, name):
    assert f"no preset '{name}'; available: cifar10, digits, finetune_cpu, " in run(name, status=1).stderr
    assert not (project / "params.yaml").exists()


@pytest.mark.parametrize("arguments", [("--list",), ("shapes",)])
def test_outside_of_the_project_it_says_where_to_go(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert "change to the root of the project" in run(*arguments, status=1).stderr
