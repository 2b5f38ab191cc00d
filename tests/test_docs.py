"""The documentation site, built as `make docs` builds it: whole, linked, searchable, and without any other host."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import click
import pytest
from sphinx.errors import ExtensionError

from tests.conftest import PAGES, REPO
from vit.cli.main import vit
from vit.config.files import SPLIT_METRICS, TEST_METRICS, TRAIN_METRICS
from vit.config.outputs import FIGURES
from vit.evaluation.metrics import METRICS

pytestmark = pytest.mark.long

SECONDS = 60
ATTRIBUTE = re.compile(r"""\s(href|src|srcset|data|poster|action)=["']([^"']*)["']""")
# What a browser loads by itself; <a href> waits for a click.
LOADS = re.compile(r"<(?!a[\s>])[a-z][^<>]*?\s(?:href|src|srcset|data|poster)=[\"'](?:https?:)?//", re.I)
LOADS_IN_CSS = re.compile(r"""(?:url\(|@import)\s*["']?\s*(?:https?:)?//""", re.I)
LOADS_IN_JS = re.compile(r"""(?:fetch|import|importScripts|open|sendBeacon)\(\s*["'`](?:https?:)?//""", re.I)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built by the command of `make docs`."""
    recipe = re.search(r"^\t(python -m sphinx .*) docs docs/_build$", (REPO / "Makefile").read_text(), re.M)
    assert recipe is not None and "--fail-on-warning" in recipe[1]
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, *recipe[1].split()[1:], "docs", str(folder)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=SECONDS * 5)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_every_page_of_docs_and_every_module_is_on_the_site(site, pages):
    for page in PAGES:
        if page.is_relative_to(REPO / "docs"):
            assert site / page.relative_to(REPO / "docs").with_suffix(".html") in pages
    text = "".join(html for path, html in pages.items() if path.parent.name == "api")
    for path in (REPO / "vit").rglob("*.py"):
        named = ".".join(path.relative_to(REPO).with_suffix("").parts)
        # The command has a page of its own; old names only run it.
        is_library = path.stem != "__init__" and "vit.cli" not in f"{named} {path.read_text(encoding='utf-8')}"
        assert (f'id="module-{named}"' in text) is is_library, named


def test_every_link_and_picture_of_every_page_leads_somewhere(pages):
    ids = {path: {"", *re.findall(r'\sid="([^"]+)"', html)} for path, html in pages.items()}
    broken, followed = [], 0
    for path, html in pages.items():
        for _, target in ATTRIBUTE.findall(html):
            if re.match(r"[a-z]+:|//", target):
                continue
            name, _, fragment = unquote(target).partition("#")
            file = (path.parent / name.partition("?")[0]).resolve() if name else path
            followed += 1
            if not file.is_file() or (file in ids and fragment not in ids[file]):
                broken.append((path.name, target))
    assert broken == [] and followed > 1000


def test_no_page_style_or_script_loads_anything_from_another_host(site, pages):
    assert [path.name for path, html in pages.items() if LOADS.search(html)] == []
    for pattern, kind in ((LOADS_IN_CSS, "css"), (LOADS_IN_JS, "js")):
        files = list(site.rglob(f"*.{kind}"))
        assert files and [path.name for path in files if pattern.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("word", "page"),
    [("rollback", "reference/commands"), ("weight_decay", "reference/parameters"), ("brier", "reference/metrics")],
)
def test_the_search_index_which_is_part_of_the_site_finds_what_a_page_says(site, word, page):
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    found = [index[terms].get(word, []) for terms in ("terms", "titleterms")]
    numbers = {number for one in found for number in (one if isinstance(one, list) else [one])}
    assert index["docnames"].index(page) in numbers


def commands(group: click.Group, path: str = "vit") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[f"{path} {name}"] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{path} {name}")
    return found


def test_every_command_has_its_options_and_its_example_on_the_page(site):
    html = (site / "reference/commands.html").read_text(encoding="utf-8")
    sections = {re.sub("<[^>]+>", "", one.partition("<a ")[0]): one for one in re.split(r"<h[234]>", html)[1:]}
    for path, command in commands(vit).items():
        shown = re.sub("<[^>]+>", "", sections[path])
        for param in command.params:
            assert all(name in shown for name in param.opts if param.param_type_name == "option"), (path, param)
        assert "Example:" in shown and path in shown.partition("Example:")[2]


@pytest.mark.parametrize("file", [SPLIT_METRICS, TRAIN_METRICS, TEST_METRICS])
def test_every_figure_of_the_committed_metrics_is_explained(site, file):
    html = (site / "reference/metrics.html").read_text(encoding="utf-8")
    headline = {f"test_{metric.name}" for metric in METRICS} if file == TEST_METRICS else set()
    figures = json.loads((REPO / file).read_text(encoding="utf-8"))
    intervals = {f"{name}_{end}" for name in headline for end in ("low", "high")}
    # Only of a model that is frozen but for its head, or whose head was made of texts; of a video; of a large split.
    others = {"knn_val_accuracy", "knn_accuracy", "zero_shot_val_accuracy"}
    nearest = {"nearest_frame_accuracy", "nearest_neighbour_accuracy_low", "nearest_neighbour_accuracy_high"}
    others |= nearest | {f"val_{name}" for name in nearest}
    assert set(figures) == headline | intervals | set(FIGURES[file]) - others
    assert all(f">{name}</span>" in html for name in figures.keys() - intervals)


def test_a_mark_that_nothing_generates_stops_the_build_and_names_what_there_is(monkeypatch):
    monkeypatch.syspath_prepend(str(REPO / "docs"))
    from extensions.generated import replace_marks

    with pytest.raises(
        ExtensionError,
        match="guides/a: nothing generates 'nothing'; there are chapter, chapters, claims, commands, contents",
    ):
        replace_marks(SimpleNamespace(srcdir=REPO / "docs"), "guides/a", ["# A\n\n<!-- generated: nothing -->\n"])
