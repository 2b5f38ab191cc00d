"""A head from class names: what transformers' own pair of towers says of an image, our model says before training."""

import logging
import math
from pathlib import Path

import pytest
import torch
import transformers

from tests.towers import LENGTH, PATCH, SIDE, write_pair
from vit.config.model import ModelParams
from vit.data.sources.hub_errors import Repository
from vit.errors import UserError
from vit.files import read_json
from vit.inference.classifier import Classifier
from vit.models.published.foreign import json_object
from vit.training import hub_weights, text_tower
from vit.training.initial import initialize
from vit.training.prompts import prompts, readable
from vit.training.text_head import fill_head, find_pair
from vit.training.text_tower import embed_texts
from vit.training.weight_sources import copy_weights
from vit.training.zero_shot import ZeroShot, image_tower

pytestmark = pytest.mark.long

CLASSES = ["black_cat", "dog", "caf&eacute;", "vertical bars"]
SAID = ["black cat", "dog", "café", "vertical bars"]
TEMPLATES = ["a photo of a {}.", "the {}"]
KINDS = ("CLIP", "Siglip", "Siglip2")
Pair = tuple[Path, transformers.PreTrainedModel]


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> Pair:
    folder = tmp_path_factory.mktemp(request.param)
    return folder, write_pair(request.param, folder)


def pictures(count: int = 64) -> torch.Tensor:
    """uint8 (B, H, W, C)."""
    coarse = torch.randint(0, 256, (count, 4, 4, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return coarse.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)


def of_the_original(folder: Path, model: transformers.PreTrainedModel, images: torch.Tensor, text: str) -> torch.Tensor:
    """The pair's own logits (B, K) for one template, by its own forward."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    is_clip = model.config.model_type == "clip"
    padding = {"padding": True if is_clip else "max_length", "max_length": LENGTH}
    tokens = tokenizer([text.format(name) for name in SAID], return_tensors="pt", **padding)
    x = (images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    given = {"pixel_values": x}
    if model.config.model_type == "siglip2":
        rows = SIDE // PATCH
        patches = x.reshape(len(x), 3, rows, PATCH, rows, PATCH).permute(0, 2, 4, 3, 5, 1)
        given = {"pixel_values": patches.reshape(len(x), rows * rows, -1)}
        given |= {"pixel_attention_mask": torch.ones(len(x), rows * rows, dtype=torch.long)}
        given |= {"spatial_shapes": torch.tensor([[rows, rows]] * len(x))}
    masks = {"attention_mask": tokens["attention_mask"]} if is_clip else {}
    with torch.inference_mode():
        logits = model(input_ids=tokens["input_ids"], **masks, **given).logits_per_image
    return logits if is_clip else logits - model.logit_bias.detach()


def started(folder: Path, target: Path, templates: list[str]) -> Classifier:
    """A classifier as training begins it."""
    target.mkdir()
    copy_weights(folder / "model.safetensors", target, "x")
    fill_head(target, str(folder), CLASSES, templates)
    config = read_json(target / "config.json")
    config["model"] = ModelParams().model_dump() | config["model"]
    classifier = Classifier.new(config, torch.device("cpu"))
    assert initialize(classifier, target)[-1] == "head made of the class names, for zero-shot"
    return classifier


def test_before_training_every_image_gets_the_class_and_ranking_of_the_original_pair(pair, tmp_path):
    folder, model = pair
    images = pictures()
    expected = of_the_original(folder, model, images, TEMPLATES[0])
    logits = started(folder, tmp_path / "init", TEMPLATES[:1]).logits(images)
    assert len({tuple(row) for row in expected.argsort(dim=1).tolist()}) > 1
    assert torch.equal(logits.argsort(dim=1), expected.argsort(dim=1))
    # Each image's logits are the original's times one factor, which is about 1 over all images.
    factors = logits / expected
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-3, atol=1e-3)
    assert 0.5 < factors.mean() < 2


def test_for_labelling_the_logits_are_those_of_the_original_pair(pair, tmp_path):
    folder, model = pair
    copy_weights(folder / "model.safetensors", tmp_path, "x")
    found = find_pair(str(folder), "x")
    texts = embed_texts(folder, prompts(CLASSES, TEMPLATES[:1], "x"), "x")
    tower = image_tower(tmp_path, torch.device("cpu"))
    zero_shot = ZeroShot(tower.model, tower.config | {"classes": CLASSES}, tower.device, texts, found.scale)
    expected = of_the_original(folder, model, pictures(), TEMPLATES[0])
    torch.testing.assert_close(zero_shot.logits(pictures()), expected, atol=1e-4, rtol=1e-4)


def test_templates_are_averaged_as_unit_vectors(pair):
    folder, _ = pair
    one, other, both = (
        embed_texts(folder, prompts(CLASSES, chosen, "x"), "x") for chosen in (TEMPLATES[:1], TEMPLATES[1:], TEMPLATES)
    )
    torch.testing.assert_close(both, torch.nn.functional.normalize(one + other, dim=-1))
    assert not torch.allclose(one, other, atol=0.01)


@pytest.mark.parametrize(
    ("name", "text"),
    [("black_cat", "black cat"), ("Tom &amp; Jerry", "Tom & Jerry"), ("cafe\u0301", "café"), ("a\u00a0 b+c", "a b c")],
)
def test_class_names_become_words(name, text):
    assert readable(name) == text


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a_b", "A b"], "classes 'a_b', 'A b' are the same words; rename one of them"),
        (["a", "_"], "class '_' has no letter or digit, so no text describes it; rename it"),
    ],
)
def test_class_names_that_texts_cannot_tell_apart_are_refused(classes, message):
    with pytest.raises(UserError, match=f"^x: {message}$"):
        prompts(classes, ["a {}"], "x")


@pytest.fixture
def clip(tmp_path) -> Path:
    write_pair("CLIP", tmp_path / "pair")
    return tmp_path / "pair"


def without_text(folder: Path) -> None:
    import safetensors.torch

    weights = safetensors.torch.load_file(folder / "model.safetensors")
    kept = {name: one for name, one in weights.items() if not name.startswith("text_model.encoder")}
    safetensors.torch.save_file(kept, folder / "model.safetensors", {"format": "pt"})


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()


def larger_vocabulary(folder: Path) -> None:
    from tests.towers import SPECIAL, WORDS, write_tokenizer

    write_tokenizer(folder, SPECIAL | {word: n for n, word in enumerate([*WORDS, "one", "more"], len(SPECIAL))})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_text, "its text tower lacks 32 tensors, such as text_model.encoder"),
        (without_tokenizer, "has no tokenizer, such as tokenizer.json"),
        (larger_vocabulary, "its tokenizer uses token 24, but its text tower knows 23"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "its tokenizer cannot be loaded"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "vit"}'),
            "model_type 'vit' instead of one of clip,",
        ),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json is not a JSON object"),
    ],
    ids=["no text tower", "no tokenizer", "wrong tokenizer", "torn tokenizer", "no pair", "no JSON"],
)
def test_an_unreadable_text_tower_is_refused_in_one_line(clip, spoil, message):
    spoil(clip)
    with pytest.raises(UserError, match=rf"^p '{clip}'.*{message}") as refused:
        embed_texts(find_pair(str(clip), "p").folder, [["a more cat"], ["a dog"]], f"p '{clip}'")
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 500


def test_a_text_longer_than_the_tower_reads_is_cut_with_a_warning(clip, caplog):
    with caplog.at_level(logging.WARNING, "vit"):
        embed_texts(clip, [["a " * 60]], "x")
    assert f"longer than the {LENGTH} tokens" in caplog.text


def test_a_head_of_text_reads_features_pooled_as_the_pair_does(clip, tmp_path):
    started(clip, tmp_path / "init", TEMPLATES)
    config = json_object(tmp_path / "init/config.json", "x")
    config["model"] = ModelParams().model_dump() | config["model"] | {"pool": "avg"}
    with pytest.raises(UserError, match=r"belong to a different model; set model.pool: cls$"):
        initialize(Classifier.new(config, torch.device("cpu")), tmp_path / "init")


def test_the_scale_is_the_pairs_own(clip):
    assert find_pair(str(clip), "x").scale == pytest.approx(math.exp(2.6592), rel=1e-4)


def test_classes_that_the_tokenizer_cannot_tell_apart_are_refused(clip):
    with pytest.raises(UserError, match=r"^x: its tokenizer makes the same tokens of 'a zebra' and 'a yak'; rename"):
        embed_texts(clip, [["a zebra"], ["a yak"]], "x")


def test_without_hub_and_cache_the_error_says_so_and_not_that_it_is_no_pair(monkeypatch):
    asked = Repository("model", "nobody/none", 40 * "0", "p", "write", "")
    monkeypatch.setattr(hub_weights, "find_model", lambda *named: hub_weights.HubModel(asked, None))
    with pytest.raises(
        UserError, match=r"^p: the hub cannot be reached, and the library's cache does not hold hf-hub:"
    ):
        find_pair(f"hf-hub:nobody/none@{40 * '0'}", "p")


def test_without_transformers_the_error_names_the_file_that_installs_all_that_is_needed(monkeypatch):
    monkeypatch.setattr(text_tower, "find_spec", lambda name: None)
    for named in (f"hf-hub:nobody/none@{40 * '0'}", "a folder"):
        with pytest.raises(UserError, match=r"needs the library transformers, .* requirements-text\.txt"):
            find_pair(named, "p")
