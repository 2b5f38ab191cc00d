"""Clicks, keys and strokes on pictures, in a real browser: the numbers on the page are those computed by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, Page

from tests.conftest import REPO, Project, clone
from tests.kinds import classifier_of
from tests.studio.browser import DESKTOP, accessibility_faults, chromium, needs_chromium, settled, studio_of
from tests.studio.visits import open_page
from vit.data.images import load_image, settings_of
from vit.evaluation.explain import rollout_maps
from vit.inference.classifier import Classifier

pytestmark = [pytest.mark.long, needs_chromium]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A clone without data whose folder `model` holds a small model with a class token, its Studio, and a browser."""
    project: Project = clone(tmp_path_factory.mktemp("inside"))
    classifier = classifier_of("cls")
    (project.folder / "model").mkdir()
    classifier.save(project.folder / "model", classifier.model.state_dict())
    with studio_of(project) as address, chromium() as browser:
        page = browser.new_page(viewport=DESKTOP)
        yield project, address, page


def cat(project: Project) -> tuple[Classifier, torch.Tensor]:
    classifier = Classifier.load(project.folder / "model")
    pixels = load_image(REPO / "studio/pictures/cat_and_person.jpg", **settings_of(classifier.config))
    return classifier, torch.from_numpy(np.array(pixels[None]))


def numbers(page: Page, title: str) -> np.ndarray:
    """The table below `Data: title`, without its first column; opens it if it is closed."""
    box = page.get_by_test_id("stExpander").filter(has_text=f"Data: {title}")
    table = box.get_by_test_id("stTable")
    if not table.is_visible():
        box.locator("summary").click()
    table.wait_for()
    return np.array([[float(cell) for cell in row] for row in cells(table)])


def cells(table: Locator) -> list[list[str]]:
    rows = table.locator("tbody tr").all()
    return [row.locator("td").all_inner_texts()[1:] for row in rows]


def attention_by_hand(classifier: Classifier, images: torch.Tensor, patch: tuple[int, int]) -> np.ndarray:
    """What a patch of the 4x4 attends to in the last block, mean of two heads, without the class token's share."""
    model, seen = classifier.model, []
    handle = model.blocks[1].norm1.register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    classifier.logits(images)
    handle.remove()
    attn = model.blocks[1].attn
    with torch.no_grad():
        q, k = (seen[0] @ attn.qkv.weight.T + attn.qkv.bias)[:, :32].split(16, dim=1)
        query = 1 + patch[0] * 4 + patch[1]
        rows = [torch.exp(q[query, part] @ k[:, part].T / 8**0.5) for part in (slice(8), slice(8, 16))]
    return (sum(row / row.sum() for row in rows) / 2)[1:].reshape(4, 4).numpy()


def test_a_clicked_patch_shows_the_attention_computed_by_hand_and_so_do_arrow_keys(studio):
    project, address, page = studio
    classifier, images = cat(project)
    open_page(page, address, "inside")
    page.get_by_role("radio", name="Attention", exact=True).click()
    stage = page.get_by_role("application", name="Choose a patch of cat and person")
    stage.wait_for()
    settled(page)
    box = stage.bounding_box()
    assert box is not None
    stage.click(position={"x": box["width"] * 0.4, "y": box["height"] * 0.9})  # column 2, row 4
    title = "Attention from row 4, column 2: block 2, mean of the heads"
    page.get_by_text(title, exact=True).first.wait_for()
    np.testing.assert_allclose(numbers(page, title), attention_by_hand(classifier, images, (3, 1)), atol=6e-5)
    assert accessibility_faults(page) == []
    for key in ("ArrowUp", "ArrowRight", "Enter"):
        stage.press(key)
    title = "Attention from row 3, column 3: block 2, mean of the heads"
    page.get_by_text(title, exact=True).first.wait_for()
    np.testing.assert_allclose(numbers(page, title), attention_by_hand(classifier, images, (2, 2)), atol=6e-5)


def test_the_square_is_dragged_and_moved_by_keys(studio):
    _, address, page = studio
    open_page(page, address, "inside")
    page.get_by_role("radio", name="Occlusion", exact=True).click()
    stage = page.get_by_role("application", name="Cover a part of cat and person")
    stage.wait_for()
    settled(page)
    box = stage.bounding_box()
    assert box is not None
    unit = box["width"] / 16  # the square has 5 pixels and begins at 5, 5
    page.mouse.move(box["x"] + 7.5 * unit, box["y"] + 7.5 * unit)
    page.mouse.down()
    page.mouse.move(box["x"] + 10.5 * unit, box["y"] + 4.5 * unit)
    page.mouse.up()
    page.get_by_text("which lies at row 2, column 8").wait_for()
    stage.press("ArrowDown")
    page.get_by_text("which lies at row 3, column 8").wait_for()


def test_a_sketch_painted_by_keys_has_the_score_computed_by_hand_and_is_kept(studio):
    project, address, page = studio
    classifier, images = cat(project)
    open_page(page, address, "predict_and_check")
    stage = page.get_by_role("application", name="Paint where the model will look in cat and person")
    stage.wait_for()
    page.get_by_role("button", name="Large brush").click()
    stage.press("Enter")  # a dot in the middle of 224 pixels
    page.get_by_role("button", name="Check", exact=True).click()
    page.get_by_role("heading", name="Your score").wait_for()
    table = page.get_by_test_id("stTable").first
    table.wait_for()
    settled(page)
    found = [float(cell) for cell in cells(table)[0]]

    centres = np.arange(224) + 0.5
    dot = np.hypot(centres[:, None] - 112, centres - 112) <= 0.16 * 224
    covered = np.array([[dot[56 * row : 56 * row + 56, 56 * col : 56 * col + 56].mean() for col in range(4)]
                        for row in range(4)])  # fmt: skip
    truth = rollout_maps(classifier, images)[0]
    order, left = np.argsort(-truth.flatten()), covered.sum()
    its = np.zeros(16)
    for patch in order:
        its[patch] = min(1.0, left)
        left -= its[patch]
    mine = np.zeros(16)  # the four patches in the middle are covered alike, and share the area
    mine[[5, 6, 9, 10]] = covered.sum() / 4
    both = np.minimum(mine, its).sum() / np.maximum(mine, its).sum()
    ranks = 16 - np.argsort(order)
    halves = np.where(mine > 0, 14.5, 6.5)  # mean ranks of the four and of the twelve
    assert found == pytest.approx([both, mine[order[0]], np.corrcoef(ranks, halves)[0, 1]], abs=6e-5)
    (kept,) = project.read(".vit/studio/sketches.csv").splitlines()[1:]
    assert kept.split(",")[2] == "cat and person" and float(kept.split(",")[4]) == pytest.approx(both, abs=6e-5)
    assert Path(project.folder, ".vit/studio").is_dir() and accessibility_faults(page) == []


def test_strokes_are_painted_with_the_mouse_and_undone(studio):
    _, address, page = studio
    open_page(page, address, "predict_and_check")
    stage = page.get_by_role("application", name="Paint where the model will look in cat and person")
    stage.wait_for()
    settled(page)
    box = stage.bounding_box()
    assert box is not None
    for across in (0.2, 0.7):  # the page runs again in the middle of the second stroke
        page.mouse.move(box["x"] + across * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + across * box["width"], box["y"] + 0.8 * box["height"], steps=5)
        page.mouse.up()
    check, undo = (page.get_by_role("button", name=name, exact=True) for name in ("Check", "Undo"))
    page.wait_for_function("() => !document.querySelector('[data-testid=stBaseButton-primary]').disabled")
    assert page.locator(".stroke").count() == 2
    undo.click()
    undo.click()
    page.get_by_text("0% of the image").wait_for()
    assert undo.is_disabled() and check.is_disabled()
