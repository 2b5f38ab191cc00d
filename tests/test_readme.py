"""The pages against the repo: their commands are run by tests, their links lead somewhere, their figures are true."""

import ast
import json
import re
import subprocess

import pytest

from tests.conftest import PAGES, REPO, documented_commands

README = (REPO / "README.md").read_text(encoding="utf-8")
DOCS = REPO / "docs"
# Why no test runs these.
UNTESTED = {
    "make test": "runs this test",
    "make up": "needs a Docker daemon; tests/deploy/test_together.py runs what it starts, without one",
    "make up PROFILE=full VIT_HOST=vit.example.org": "the same",
    "docker compose --file deploy/compose.yaml logs --follow trainer": "the same",
    "docker compose --file deploy/compose.yaml run --rm --no-deps trainer "
    "dvc exp run -S data.source=folder -S data.path=images": "the same",
    "deploy/make-secrets && cp -r deploy/secrets deploy/kubernetes/": "tests/deploy/test_files.py runs both",
    "kubectl apply --kustomize deploy/kubernetes": "needs a cluster; tests/deploy/test_files.py builds what it applies",
    "kubectl create --namespace vit --filename deploy/kubernetes/train.yaml": "needs a cluster",
    "sky jobs launch deploy/skypilot.yaml --env BUCKET=my-vit-checkpoints --env MLFLOW_TRACKING_URI=https://vit.example.org:5000"
    " --secret MLFLOW_TRACKING_PASSWORD": "needs an account in a cloud",
    "make studio": "tests/studio and tests/pipeline start its last line, `vit studio`",
    "source .venv/bin/activate": "the environment of the tests is active",
    "dvc exp run -S train.class_weights=balanced": "tests/training/test_balance.py trains with these weights",
    "dvc exp run -S train.sampler=balanced": "tests/training/test_balance.py trains with this order",
    "pip install --requirement requirements-labels.txt --constraint constraints.txt": "`make test` installs it so",
    "pip install --requirement requirements-monitor.txt --constraint constraints.txt": "`make test` installs it so",
    "vit suspects": "tests/cli/test_suspects.py runs it on a store of its own",
    "vit export --format timm for_timm": "timm loads what it writes in tests/models/test_published.py",
    "pip install -r requirements-remote.txt -c constraints.txt": "test_bucket.py is skipped without it",
    "export AWS_ENDPOINT_URL=https://s3.example.org": "tests/data/shards/test_bucket.py sets it to a server of its own",
    "pip install -r requirements-engine.txt -c constraints.txt": "`make test` installs it so",
    "export VIT_ENGINE=tcp://127.0.0.1:8786": "tests/data/test_engine.py sets it to a scheduler of its own",
    "export VIT_ENGINE=tls://head:8786": "tests/data/test_engine.py sets it to a scheduler of its own",
    "make book": "tests/learn runs the chapters, and sees whether one changed since",
    "make test-book": "tests/learn runs the same tests in seconds",
    "make deps": "a test holds dvc.yaml and the page of parameters to what it would write",
}
# What a command line begins with.
PROGRAMS = r"(make|dvc|vit|mlflow|python|pip|git|source|export|curl|docker)"


def beginnings_that_tests_run() -> set[str]:
    """The texts that tests hand to `documented`."""
    calls = (
        node
        for path in (REPO / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "documented"
    )
    return {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}


def test_every_command_is_run_by_a_test():
    run = tuple(beginnings_that_tests_run())
    not_run = [command for command in documented_commands() if not command.startswith(run)]
    assert [command for command in not_run if command not in UNTESTED] == []
    assert [command for command in UNTESTED if command not in not_run] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_a_command_line_stands_in_a_block_that_is_read_for_the_tests(page):
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"^```([a-z]\w*)", text, re.M)) <= {"bash", "yaml", "json", "python", "text"}
    assert re.findall(rf"^    {PROGRAMS} .*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M) == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200 and len(README.encode()) <= 12_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_every_link_leads_to_a_file(page):
    targets = re.findall(r"\]\(([^)#]+)[)#]", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_front_page_links_to_every_page_that_a_person_wrote():
    front = (DOCS / "index.md").read_text(encoding="utf-8")
    for folder in ("guides", "explanation", "results"):
        pages = list((DOCS / folder).glob("*.md"))
        assert pages and [page.name for page in pages if f"]({folder}/{page.name})" not in front] == []


@pytest.mark.parametrize(
    ("page", "files"), [("guides/presets.md", "presets/*.yaml"), ("explanation/pipeline.md", "stages/[a-z]*.py")]
)
def test_every_preset_and_stage_is_listed(page, files):
    text = (DOCS / page).read_text(encoding="utf-8")
    listed = [path.relative_to(REPO).as_posix() for path in REPO.glob(files)]
    assert listed and [path for path in listed if f"](../../{path})" not in text] == []


def test_the_accuracies_are_those_of_the_committed_metrics():
    metrics = json.loads((REPO / "metrics/test.json").read_text())
    names = ("test_accuracy", "svc_accuracy", "majority_accuracy")
    accuracy, svc, majority = (f"{100 * metrics[name]:.4g}" for name in names)
    low, high = (f"{100 * metrics[name]:.1f}" for name in ("test_accuracy_low", "test_accuracy_high"))
    text = " ".join(README.split())
    assert f"the ViT reaches {accuracy} % of the 359 test digits (95 % interval {low} to {high} %)" in text
    assert f"the very same split reaches {svc} %, always predicting the most frequent class {majority} %" in text


def test_make_alone_lists_every_target():
    listed = subprocess.run(["make"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.M)
    written = {"deps", "docs", "book"}
    benchmarks = {"bench-data", "bench-train", "bench-scaling", "bench-serve", "bench-quality", "bench-cost"}
    benchmarks |= {"bench-watching", "bench-shards", "bench-parity", "bench-labels", "bench-waiting", "bench-growth"}
    benchmarks |= {"bench-engine"}
    benchmarks |= {"bench-floors", "bench-distributed", "bench-tracked-files"}
    benchmarks |= {"bench-logging", "bench-drift"}
    others = {
        "help",
        "repro",
        "studio",
        "up",
        "images",
        "push",
        "pull",
        "deps",
        "docs",
        "test",
        "test-fast",
        "test-slow",
        "test-book",
        "test-pythons",
        "clean",
        "distclean",
    }
    assert set(targets) == others | written | benchmarks
    assert all(target in listed for target in targets)
