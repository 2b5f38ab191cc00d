"""What the evaluate stage draws to explain a model."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.presets import preset
from tests.shapes import CLASSES, shapes, untrained
from vit.config.pack import PackParams
from vit.data.batches import Packed
from vit.data.decoded import Decoded, pick
from vit.data.images import SETTINGS
from vit.data.manifest import list_images
from vit.evaluation.attention import attention_distance, attention_maps, filter_components, patch_distances
from vit.evaluation.explain import model_input
from vit.evaluation.explain_figures import (
    Examples,
    captions,
    chosen,
    explain_figures,
    heads_panel,
    maps_panel,
    mean_distances,
)
from vit.evaluation.explain_plots import filters_figure, positions_figure
from vit.files import read_table
from vit.inference.classifier import Classifier

pytestmark = pytest.mark.long

ALWAYS = {"examples.png", "heads.png", "attention_distance.png", "attention_distance.csv", "patch_filters.png"}


@pytest.fixture(scope="module")
def part(tmp_path_factory) -> Packed:
    return shapes(tmp_path_factory.mktemp("shapes"), 5)


def classifier_of(
    folder, part: Packed, pool: str = "cls", pos_embed: str = "learned", distilled: bool = False
) -> Classifier:
    changes = {"model.pool": pool, "model.pos_embed": pos_embed, "train.device": "cpu"}
    changes |= {"train.distillation": "hard", "train.teacher": "somewhere"} if distilled else {}
    return untrained(preset(folder, "shapes", changes), part)


def drawn(folder, classifier: Classifier, part: Packed, probabilities=None, count: int = 3) -> dict[str, bytes]:
    predicted = classifier.probabilities(part.images) if probabilities is None else probabilities
    explain_figures(folder, classifier, part, predicted, count)
    return {path.name: path.read_bytes() for path in folder.glob("*")}


@pytest.mark.parametrize(("pool", "pos_embed"), [("cls", "learned"), ("avg", "sincos2d"), ("avg", "none")])
def test_equal_models_draw_equal_bytes_and_a_model_without_positions_shows_none(tmp_path, part, pool, pos_embed):
    classifier = classifier_of(tmp_path, part, pool, pos_embed)
    files = drawn(tmp_path / "a", classifier, part)
    assert set(files) == (ALWAYS if pos_embed == "none" else ALWAYS | {"position_similarity.png"})
    if pool == "cls":
        assert drawn(tmp_path / "b", classifier, part) == files
    for name in files.keys() - {"attention_distance.csv"}:
        pixels = np.asarray(Image.open(tmp_path / "a" / name).convert("L"))
        assert (pixels < 128).mean() > 0.002, name


def test_of_a_convolutional_stem_the_filters_that_read_the_pixels_are_shown(tmp_path, part):
    changes = {"model.stem": "conv", "model.patch_size": 4, "model.stem_widths": [16, 32], "train.device": "cpu"}
    classifier = untrained(preset(tmp_path, "shapes", changes), part)
    components, shares = filter_components(classifier.model)
    assert components.shape == (9, 1, 3, 3) and shares.sum().item() == pytest.approx(1)
    assert set(drawn(tmp_path / "a", classifier, part)) == ALWAYS | {"position_similarity.png"}


def test_a_model_without_attention_draws_nothing_and_says_so(tmp_path, part, caplog):
    caplog.set_level("INFO", logger="vit")
    classifier = untrained(preset(tmp_path, "shapes", {"model.name": "cnn", "train.device": "cpu"}), part)
    assert drawn(tmp_path / "a", classifier, part) == {}
    assert "model.name is cnn, which has no attention maps" in caplog.text


@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_a_distilled_model_is_explained_over_its_patches_and_the_figure_says_who_looks(tmp_path, part, pool):
    classifier = classifier_of(tmp_path, part, pool, distilled=True)
    if pool == "cls":  # with its two tokens before the patches
        assert set(drawn(tmp_path / "a", classifier, part)) == ALWAYS | {"position_similarity.png"}
    panel = heads_panel(classifier, "Correct", Examples(part.images[:1], np.array([0]), np.eye(4)[:1]))
    whose = "the class token" if pool == "cls" else "all patches"
    assert panel.title.endswith(f"attention of {whose} and the distillation token")


def test_a_count_of_zero_draws_nothing(tmp_path, part):
    assert drawn(tmp_path / "a", classifier_of(tmp_path, part), part, count=0) == {}


@pytest.mark.parametrize("right", [True, False])
def test_where_all_predictions_are_right_or_all_wrong_only_those_are_shown(tmp_path, part, right):
    certain = np.eye(4, dtype=np.float32)[part.labels if right else (part.labels + 1) % 4]
    files = drawn(tmp_path / "a", classifier_of(tmp_path, part), part, certain)
    both = drawn(tmp_path / "b", classifier_of(tmp_path, part), part)
    heights = [Image.open(tmp_path / name / "examples.png").height for name in ("a", "b")]
    assert set(files) == set(both) and heights[0] < heights[1]


def test_right_predictions_are_spread_over_the_classes_and_wrong_ones_start_with_the_most_confident():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    sure = np.array([0.9, 0.8, 0.7, 0.6, 0.9, 0.5, 0.8, 0.9])
    predicted = np.array([0, 0, 1, 1, 2, 2, 0, 0])  # wrong: 2, 4, 6, 7
    probabilities = np.full((8, 3), 0.0)
    probabilities[range(8), predicted] = sure
    assert chosen(labels, probabilities, 3) == ([0, 3, 5], [4, 7, 6])
    assert chosen(labels, probabilities, 100) == ([0, 1, 3, 5], [4, 7, 6, 2])


def test_captions_name_the_prediction_its_probability_and_the_truth_where_it_is_another(part):
    probabilities = np.array([[0.1, 0.7, 0.2, 0.0], [0.1, 0.7, 0.2, 0.0]])
    examples = Examples(part.images[:2], np.array([1, 2]), probabilities)
    assert captions(["a", "b", "c", "d"], examples) == ["b (70%)", "b (70%)\ntrue: c"]
    long = captions(["a" * 40, "b" * 40, "c" * 40, "d"], examples)[1]
    assert long.startswith("bbb") and all(len(line) <= 20 for line in long.splitlines())


def test_wrong_predictions_have_a_row_more_the_relevance_for_the_truth(tmp_path, part):
    classifier = classifier_of(tmp_path, part, pool="avg")
    certain = np.eye(4, dtype=np.float32)
    right = maps_panel(classifier, "Correct", Examples(part.images[:4], np.arange(4), certain))
    wrong = maps_panel(classifier, "Incorrect", Examples(part.images[:4], np.arange(4), certain[::-1]))
    assert list(right.rows) == ["image", "rollout", "relevance\nfor prediction"]
    assert list(wrong.rows) == [*right.rows, "relevance\nfor true label"]
    # What speaks for a class is the same whether the class is the prediction or the truth.
    pairs = zip(wrong.rows["relevance\nfor true label"], right.rows["relevance\nfor prediction"], strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_the_table_of_distances_is_the_mean_over_all_images_whatever_the_batches(tmp_path, part, pool):
    classifier = classifier_of(tmp_path, part, pool)
    drawn(tmp_path / "a", classifier, part)
    maps = attention_maps(classifier.model, model_input(classifier, part.images))
    expected = attention_distance(maps, patch_distances((4, 4), 2))
    assert len(part) > 16  # more than one batch
    rows = read_table(tmp_path / "a" / "attention_distance.csv")
    assert [(row["block"], row["head"]) for row in rows] == [(str(b), str(h)) for b in (1, 2) for h in range(1, 5)]
    assert [float(row["pixels"]) for row in rows] == pytest.approx(expected.flatten().tolist(), abs=1e-3)
    found, uniform = mean_distances(classifier, part.images)
    # A model that learned nothing attends almost evenly.
    assert found.mean() == pytest.approx(uniform, rel=0.1)


def test_images_are_picked_from_arrays_and_from_files_alike(tmp_path, part):
    again = shapes(tmp_path, 5)
    rows = list_images(tmp_path / "raw0")
    settings = PackParams(image_size=[8, 8], channels=1).model_dump(include=set(SETTINGS))
    decoded = Decoded([tmp_path / "raw0" / row.path for row in rows], again.labels, settings, workers=0)
    assert torch.equal(pick(decoded, [7, 0, 19]), pick(part, [7, 0, 19]))
    assert torch.equal(pick(part, [7, 0, 19]), part.images[[7, 0, 19]])


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (8, 11), (24, 24), (2, 30)])
def test_grids_of_any_shape_can_be_drawn(tmp_path, rows, columns):
    similarity = np.random.default_rng(0).uniform(-1, 1, (rows, columns, rows, columns)).astype(np.float32)
    positions_figure(tmp_path / "a.png", similarity)
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > min(100, 3 * rows * columns)


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (4, 1), (8, 3), (192, 3)])
def test_at_most_28_filters_are_drawn(tmp_path, count, channels):
    components = np.random.default_rng(0).normal(size=(count, channels, 4, 4))
    filters_figure(tmp_path / "a.png", components, np.full(count, 1 / count))
    rows = -(-min(count, 28) // 7)
    assert Image.open(tmp_path / "a.png").height == pytest.approx(100 * (1.3 * rows + 0.5), abs=1)


def test_the_examples_name_every_class_of_the_shapes(part):
    certain = np.eye(4, dtype=np.float32)[part.labels]
    right, wrong = chosen(part.labels.numpy(), certain, 4)
    assert {CLASSES[part.labels[index]] for index in right} == set(CLASSES) and wrong == []
