"""The README against the repo: its commands are run by tests, its links lead somewhere, its figures are true."""

import ast
import json
import re
import subprocess

from tests.conftest import REPO, readme_commands

README = (REPO / "README.md").read_text(encoding="utf-8")
# `make test` is what runs this; a test has its environment active.
RUN_OTHERWISE = ("make test", "source .venv/bin/activate")


def beginnings_that_tests_run() -> set[str]:
    """The texts that tests hand to `from_readme`."""
    calls = (
        node
        for path in (REPO / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "from_readme"
    )
    return {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}


def test_every_command_is_run_by_a_test():
    run = tuple(beginnings_that_tests_run())
    assert [command for command in readme_commands() if not command.startswith(run + RUN_OTHERWISE)] == []


def test_every_link_leads_to_a_file():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 10
    assert [target for target in targets if not (REPO / target).exists()] == []


def test_every_preset_and_stage_is_listed():
    for path in [*(REPO / "presets").glob("*.yaml"), *(REPO / "stages").glob("[a-z]*.py")]:
        assert f"]({path.relative_to(REPO).as_posix()})" in README


def test_the_accuracies_are_those_of_the_committed_metrics():
    metrics = json.loads((REPO / "metrics/test.json").read_text())
    names = ("test_accuracy", "svc_accuracy", "majority_accuracy")
    accuracy, svc, majority = (f"{100 * metrics[name]:.4g}" for name in names)
    low, high = (f"{100 * metrics[name]:.1f}" for name in ("test_accuracy_low", "test_accuracy_high"))
    text = " ".join(README.split())
    assert f"the ViT reaches {accuracy} % of the 359 test digits (95 % interval {low} to {high} %)" in text
    assert f"the very same split reaches {svc} %, always answering the most frequent class {majority} %" in text


def test_make_alone_lists_every_target():
    listed = subprocess.run(["make"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.M)
    written = {"deps", "docs"}
    benchmarks = {"bench-data", "bench-train", "bench-scaling", "bench-serve", "bench-quality", "bench-cost"}
    others = {
        "help",
        "repro",
        "push",
        "pull",
        "deps",
        "docs",
        "test",
        "test-slow",
        "test-pythons",
        "clean",
        "distclean",
    }
    assert set(targets) == others | written | benchmarks
    assert all(target in listed for target in targets)
