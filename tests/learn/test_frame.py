"""What the book's chapters stand on: cells, pages, the digits as the pipeline splits them, training."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from learn import page
from learn import run as frame
from learn.cells import cells
from learn.digits import digits, new_classifier
from learn.training import accuracy, fit, recipe
from tests.conftest import REPO, documented

CHAPTER = """# %% [markdown]
# # Title
#
# It is {{ 2 + 2 }}, or {{ 1 / 3:.0% }}.

# %%
three = page.shortened(300, to=3)
print(three)

# %% answer
page.claim("a source", "that", "this", holds=three < 5, at_any_size=False)
"""


@pytest.fixture
def small(tmp_path, monkeypatch) -> str:
    """The name of a chapter of three cells, and learn/outputs elsewhere."""
    monkeypatch.setattr(frame, "CHAPTERS", tmp_path)
    monkeypatch.setattr(frame, "OUTPUTS", tmp_path)
    (tmp_path / "ch99_small.py").write_text(CHAPTER.replace("# %%\nthree", "# %%\nfrom learn import page\nthree"))
    return "ch99_small"


def test_prose_loses_its_marks_and_code_keeps_its_lines():
    prose, code, answer = cells(CHAPTER)
    assert prose.is_prose and prose.text.startswith("# Title\n\nIt is")
    assert code.text.splitlines()[0] == CHAPTER.splitlines()[code.line - 1] == "three = page.shortened(300, to=3)"
    assert answer.is_answer and not answer.is_prose and not code.is_answer


def test_code_among_prose_is_refused_with_its_line():
    with pytest.raises(ValueError, match="line 3: prose must begin with `# `, not 'x = 1'"):
        list(cells("# %% [markdown]\n# Text\nx = 1\n"))


def test_prose_holds_values_of_the_run_and_only_a_whole_run_is_long(small):
    assert frame.run(small, short=True).cells[0].text.endswith("It is 4, or 33%.")
    assert [frame.run(small, short=short).cells[1].printed for short in (True, False)] == ["3\n", "300\n"]
    assert [frame.run(small, short=short).claims[0].verdict for short in (True, False)] == ["true", "not at this size"]


def test_an_error_names_the_line_of_the_chapter(small):
    path = frame.CHAPTERS / f"{small}.py"
    path.write_text(path.read_text() + "\n# %%\nraise KeyError(three)\n")
    with pytest.raises(KeyError) as caught:
        frame.run(small)
    last = caught.traceback[-1]
    assert Path(last.path) == path and last.lineno + 1 == path.read_text().count("\n")


def test_a_saved_page_is_text_and_a_picture_for_each_theme(small):
    path = frame.CHAPTERS / f"{small}.py"
    path.write_text(path.read_text() + "\n# %%\n_ = page.show(lambda figure: figure.subplots(), 'Empty axes.')\n")
    frame.save(small, frame.run(small))
    saved = json.loads((frame.OUTPUTS / f"{small}.json").read_text())
    assert saved["cells"][3]["pictures"] == [{"file": f"{small}-1", "alt": "Empty axes."}]
    light, dark = (frame.OUTPUTS.joinpath(f"{small}-1-{theme}.svg").read_text() for theme in ("light", "dark"))
    assert page.THEMES["light"]["text.color"] in light and page.THEMES["dark"]["text.color"] in dark
    before = frame.digest(small)
    path.write_text(path.read_text() + "\n")
    assert saved["digest"] == before != frame.digest(small)


def test_the_digits_are_split_as_the_pipeline_splits_them():
    figures = json.loads((REPO / "metrics/split.json").read_text())
    parts = {"train": digits().train, "val": digits().val, "test": digits().test}
    assert {f"{name}_images": len(part) for name, part in parts.items()}.items() <= figures.items()


def test_fit_follows_the_whole_schedule_and_learns():
    classifier = new_classifier(patch_size=2, embed_dim=32, depth=1, num_heads=2, pool="avg")
    before, seen = accuracy(classifier, digits().val), []
    losses = fit(classifier, digits().train, recipe(), 300, watch=seen.append)
    assert seen == list(range(301)) and len(losses) == 300 and not classifier.model.training
    assert losses[-1] < losses[0] and accuracy(classifier, digits().val) > before + 0.2


def test_fit_repeats_itself_bit_for_bit():
    runs = []
    for _ in range(2):
        classifier = new_classifier(patch_size=2, embed_dim=32, depth=1, num_heads=2)
        runs.append(torch.tensor(fit(classifier, digits().train, recipe(), 5)))
    assert torch.equal(*runs)


def test_a_chapter_is_a_program_that_prints_what_its_page_shows():
    command = documented("python -m learn.chapters").removeprefix("python")
    done = subprocess.run([sys.executable, *command.split()], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = json.loads((frame.OUTPUTS / f"{command.rpartition('.')[2]}.json").read_text())["cells"]
    assert done.stdout == "".join(cell["printed"] for cell in shown)
