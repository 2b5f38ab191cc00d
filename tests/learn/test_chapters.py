"""Every chapter of the book runs, its exercises check answers, and the site shows what it last printed.

Chapters are shortened, as in `make test`, unless BOOK is `whole`, as in `make test-book`.
"""

import json
import os

import pytest
import torch
import torch.nn.functional as F

from learn.digits import new_classifier
from learn.page import THEMES, VERDICTS
from learn.run import OUTPUTS, Finished, digest, names, run
from tests.conftest import REPO

IS_SHORT = os.environ.get("BOOK") != "whole"
# Plausible but wrong answers to the exercises.
WRONG = {
    "ch00_why_sequences": (lambda strides: 1 + 2 * len(strides), 111.5),
    "ch01_sentence": (
        lambda height, width, P: height * width // P**2 if height * width % P**2 == 0 else int("not a number"),
        lambda patches, P, height, width: patches.reshape(2, 3, height, width),
    ),
    "ch02_positions": (
        {"mirror", "swap the left and the right half"},
        lambda N, D: torch.arange(N)[:, None] / torch.arange(1, D + 1),
    ),
    "ch03_one_token": (
        lambda model, pair: [0.0, 0.0, 0.0, 0.0],
        lambda classifier, count: new_classifier(**classifier.config["model"] | {"reg_tokens": 4}),
    ),
    "ch04_attention": (85_800_000, "value"),
    "ch05_heads": ((25_000, 100_000), lambda map, between: between.mean()),
    "ch06_blocks": (("mlp", 4), lambda token: 3 * token),
    "ch07_learning": (6.19, lambda step, warmup, total, peak: peak * min(1, step / warmup)),
    "ch08_hunger": ((64 * 32, 3 * 3 * 32), lambda images: images.repeat(5, 1, 1, 1)),
    "ch09_hybrids": ((7, 49), lambda x, side: x.reshape(x.shape[0], -1, side * side, x.shape[-1])),
    "ch10_teacher": (
        (0.33, 0.33),
        lambda student, teacher, T: F.kl_div(
            (student / T).log_softmax(1), (teacher / T).softmax(1), reduction="batchmean"
        ),
    ),
    "ch11_masked": ((49, 4), lambda noise, visible: noise > noise.mean(dim=1, keepdim=True)),
    "ch11_self_distilled": (
        (4.16, 4.16),
        lambda taught, centre, temperature: (taught / temperature - centre).softmax(dim=1),
    ),
    "ch12_words": (576, lambda logits: torch.nn.functional.softplus(-logits).diag().mean()),
    "ch13_pointing": ((0.75, 0.75), lambda mask: [0, 0, 31, 31]),
    "ch14_diffusion": (lambda point, velocity, t: point - velocity, 1),
    "ch15_predict_then_check": (lambda images: images * 0 + 255, lambda image, row, column: image),
    "ch16_recap": ([180, 900], lambda models, limit: max(models, key=lambda model: model[1])[0]),
}


@pytest.fixture(scope="module", params=names())
def chapter(request) -> tuple[str, Finished]:
    return request.param, run(request.param, short=IS_SHORT)


def kept(name: str) -> dict:
    return json.loads((OUTPUTS / f"{name}.json").read_text(encoding="utf-8"))


def test_a_chapter_runs_has_a_picture_in_both_themes_and_measures_claims(chapter):
    _, finished = chapter
    pictures = [picture for cell in finished.cells for picture in cell.pictures]
    assert pictures and all(picture.figures.keys() == THEMES.keys() and len(picture.alt) > 40 for picture in pictures)
    assert finished.claims and all(claim.verdict in VERDICTS for claim in finished.claims)


def test_both_exercises_of_a_chapter_accept_the_hidden_answer_and_refuse_a_wrong_one(chapter):
    name, finished = chapter
    answers = [cell for cell in finished.cells if cell.is_answer and not cell.is_prose]
    assert len(answers) == 2 and all("correct" in cell.printed for cell in answers)
    for number, wrong in enumerate(WRONG[name], 1):
        assert f"check_{number}(" in answers[number - 1].text
        with pytest.raises((AssertionError, RuntimeError)):
            finished.variables[f"check_{number}"](*(wrong if isinstance(wrong, tuple) else [wrong]))


def test_the_site_shows_the_chapter_as_it_is_and_all_its_pictures(chapter):
    name, finished = chapter
    assert (REPO / "docs" / "book" / f"{name}.md").is_file()
    assert kept(name)["digest"] == digest(name), f"{name} changed: run `make book`"
    shown = [picture["file"] for cell in kept(name)["cells"] for picture in cell["pictures"]]
    files = {f"{file}-{theme}.svg" for file in shown for theme in THEMES}
    assert files == {path.name for path in OUTPUTS.glob(f"{name}-*.svg")}
    assert len(kept(name)["cells"]) == len(finished.cells)


@pytest.mark.skipif(
    IS_SHORT, reason="a shortened chapter proves nothing about claims; `make test-book` runs them whole"
)
def test_the_verdicts_on_claims_are_those_on_the_site(chapter):
    name, finished = chapter
    assert [claim.verdict for claim in finished.claims] == [claim["verdict"] for claim in kept(name)["claims"]]
