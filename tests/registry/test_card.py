"""What a person reads on a version."""

import pytest

from tests.presets import preset
from vit.registry.card import model_card

pytestmark = pytest.mark.long

RAW = {"images": 9, "source": "folder", "version": "folder D", "classes": {"cat": 5, "dog": 4}}
AUDIT = {"strategy": "folders", "reason": "asked for", "warnings": ["val leaks"]}
SCORES = dict.fromkeys(
    ["test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_balanced_accuracy", "test_macro_f1", "test_ece"],
    0.5,
) | {"majority_accuracy": 0.5, "nearest_neighbour_accuracy": 0.5, "test_ece_uncalibrated": 0.5, "best_epoch": 1} | {
    "best_val_accuracy": 0.5, "test_groups": 9, "test_images": 9
}  # fmt: skip


def test_the_card_shows_the_leakage_of_test_and_of_val_beside_the_scores(tmp_path):
    figures = {"leakage": 0.125, "near_duplicate_share": 0.125}
    of_val = {"leakage": 0.75, "near_duplicate_share": 0.5}
    params = preset(tmp_path, "shapes")
    card = model_card(params, RAW, AUDIT | {"leakage": figures, "val_leakage": of_val}, SCORES, 1.0, {})
    assert "- Leakage of test: leakage 12.5%, near duplicate share 12.5%\n" in card
    assert "- Leakage of val: leakage 75.0%, near duplicate share 50.0%\n" in card
    assert "- **Warning**: val leaks\n" in card
    assert "The head began" not in card
    earlier = model_card(params, RAW, AUDIT | {"leakage": figures}, SCORES, 1.0, {})  # of a split by an earlier release
    assert "- Leakage of test: " in earlier and "of val:" not in earlier


def test_the_card_tells_a_head_made_of_class_names_and_what_it_scored_before_training(tmp_path):
    init = {"source": "hf-hub:a/b@c", "sha256": "12" * 32, "images_seen": "unknown", "head": "text"}
    init |= {"head_templates": ["a {}.", "the {}"], "head_prompts_sha256": "ab" * 32}
    scores = SCORES | {"zero_shot_val_accuracy": 0.625}
    card = model_card(preset(tmp_path, "shapes"), RAW, AUDIT, scores, 1.0, {"init": init})
    assert "fine-tuned from `hf-hub:a/b@c` (sha256 121212121212)" in card
    told = (
        "- The head began as the class names in `a {}.`, `the {}` (sha256 of the texts abababababab), embedded by the "
    )
    assert f"{told}text tower of `hf-hub:a/b@c`. Before training, zero-shot, accuracy on val was 62.5%\n" in card
