"""The program as a shell starts it: help, statuses, completion, signals, and its old names."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from tests.conftest import REPO
from tests.presets import preset
from tests.shapes import shapes, untrained
from vit.cli.main import vit as program
from vit.release import VERSION

pytestmark = pytest.mark.long

HEAVY = {"torch", "mlflow", "numpy", "pandas", "matplotlib", "pydantic", "sklearn", "scipy", "PIL"}


def commands_of(group: click.Group, name: str) -> dict[str, click.Command]:
    """Every command below `group` by what a person types for it."""
    found = {}
    for word, command in group.commands.items():
        below = commands_of(command, f"{name} {word}") if isinstance(command, click.Group) else {}
        found |= {f"{name} {word}": command} | below
    return found


COMMANDS = commands_of(program, "vit")


def start(folder: Path, *arguments: str, module: str = "vit", **options) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def run(folder: Path, *arguments: str, **options) -> tuple[int, str, str]:
    process = start(folder, *arguments, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_short_and_ends_with_an_example_that_the_command_takes(vit, command):
    status, out, err = vit(*command.split()[1:], "--help")
    assert (status, err) == (0, "") and out.startswith(f"Usage: {command} [OPTIONS]")
    assert len(COMMANDS[command].get_short_help_str(100)) <= 62  # what `vit --help` shows of it on 80 columns
    assert len(out.splitlines()) <= 40
    (example,) = re.findall(r"Example:\n  +(.+)\n\Z", out)
    words = shlex.split(example)
    assert " ".join(words).startswith(command)
    called = next(COMMANDS[name] for name in sorted(COMMANDS, key=len, reverse=True) if example.startswith(name))
    depth = 3 if example.startswith("vit registry ") else 2
    called.make_context("example", words[depth:])  # raises UsageError for what it does not take


@pytest.mark.parametrize(
    ("command", "default"),
    [("predict", "1; x>=1"), ("predict", "(the champion)"), ("registry rollback", "no reason given")],
)
def test_an_option_shows_its_default(vit, command, default):
    assert f"[default: {default}]" in " ".join(vit(*command.split(), "--help")[1].split())


def test_without_a_command_the_help_tells_all_commands_the_statuses_and_the_completion(vit):
    status, out, err = vit()
    assert (status, out) == (2, "")
    assert vit("--help") == (0, err, "")
    for word in ("compare", "data-hunger", "export", "folds", "predict", "registry"):
        assert re.search(rf"^  {word} +\w.*\.$", err, re.M), word
    for line in ("0    done", "1    refused", "2    wrong usage", "130  interrupted"):
        assert f"    {line}" in err
    for shell in ("bash", "zsh", "fish"):
        assert f"_VIT_COMPLETE={shell}_source vit" in err


def test_the_version_is_that_of_the_release(vit):
    assert vit("--version") == (0, f"vit {VERSION}\n", "")


def test_a_misspelt_command_is_wrong_usage_and_the_nearest_is_named(vit):
    status, out, err = vit("comparre")
    assert (status, out) == (2, "") and "Did you mean 'compare'?" in err


def test_help_imports_nothing_that_takes_long_and_leaves_nothing_behind(tmp_path):
    script = "import sys\nfrom vit.cli.main import main\n"
    script += "try: main(sys.argv[1:])\nfinally: print(*sys.modules, file=sys.stderr)"
    for arguments in (["--help"], ["predict", "--help"], ["registry", "verify", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and done.stdout.startswith("Usage: vit ")
        imported = {name.split(".")[0] for name in done.stderr.split()}
        assert "click" in imported and not imported & HEAVY
    assert list(tmp_path.iterdir()) == []


def seconds_of_help(folder: Path) -> float:
    began = time.perf_counter()
    assert run(folder, "--help")[0] == 0
    return time.perf_counter() - began


def test_help_answers_within_half_a_second_at_the_best_of_five_times(tmp_path):
    assert any(seconds_of_help(tmp_path) < 0.5 for _ in range(5))


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("vit reg", ["registry"]), ("vit registry ro", ["rollback"]), ("vit export --f", ["--format"])],
)
def test_tab_completes_commands_and_options(tmp_path, typed, completed):
    env = {"_VIT_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    status, out, _ = run(tmp_path, env=env)
    assert status == 0 and [line.split(",")[1] for line in out.splitlines()] == completed


def test_a_mistake_ends_in_one_line_with_status_1_and_its_trace_is_in_the_log(tmp_path):
    status, out, err = run(tmp_path, "export", "vit.onnx", "--format", "torch")
    assert (status, out, err) == (1, "", "error: vit.onnx: OUT must end in .pt2; for example vit.pt2\n")
    assert "Traceback" in (tmp_path / "logs/vit.log").read_text()


def test_ctrl_c_ends_a_command_with_status_130_and_one_line(tmp_path):
    classifier = untrained(preset(tmp_path, "shapes", {"train.device": "cpu"}), shapes(tmp_path, 2))
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    os.mkfifo(tmp_path / "fifo")
    process = start(tmp_path, "predict", "fifo", "--model", "model")
    with (tmp_path / "fifo").open("wb"):  # open as soon as the command reads the image, which never comes
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("vit.predict", "predict"),
        ("vit.compare", "compare"),
        ("vit.folds", "folds"),
        ("vit.data_hunger", "data-hunger"),
        ("vit.export", "export"),
        ("vit.registry", "registry"),
    ],
)
def test_an_old_name_says_the_new_one_and_runs_it_with_the_same_arguments(tmp_path, module, command):
    arguments = ["list", "--help"] if command == "registry" else ["--help"]
    status, out, err = run(tmp_path, *arguments, module=module)
    assert (status, out) == run(tmp_path, command, *arguments)[:2]
    assert status == 0 and err == f"`python -m {module}` is now `vit {command}`; the old name will be removed in 0.6\n"


def test_an_old_name_ends_as_the_new_one_does(tmp_path):
    status, out, err = run(tmp_path, "vit.onnx", "--format", "torch", module="vit.export")
    assert (status, out) == (1, "") and err.splitlines()[1:] == [
        "error: vit.onnx: OUT must end in .pt2; for example vit.pt2"
    ]
