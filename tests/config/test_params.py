import json
import re

import pytest
from ruamel.yaml import YAML

from tests.presets import REPO, preset, whole_preset
from vit.config.params_file import all_keys, flatten, load_params
from vit.errors import UserError

DIGITS = whole_preset("digits")


def test_all_keys_are_exactly_the_flattened_keys_of_params_yaml_in_their_order():
    values = YAML(typ="safe", pure=True).load(REPO / "params.yaml")
    assert all_keys() == list(flatten(values))


def test_a_number_in_exponent_notation_is_a_number(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(re.sub(r"^  lr: .*$", "  lr: 3e-4", DIGITS, flags=re.MULTILINE), encoding="utf-8")
    assert load_params(path).train.lr == 0.0003


def test_what_concerns_patches_and_heads_concerns_a_vit_alone(tmp_path):
    changes = {"pack.image_size": [9, 13], "model.num_heads": 5, "model.stem": "conv", "model.patch_size": 3}
    assert preset(tmp_path, "digits", changes | {"model.name": "cnn"}).model.name == "cnn"
    with pytest.raises(UserError):
        preset(tmp_path, "digits", changes)


def test_a_whole_number_serves_where_a_fraction_is_allowed(tmp_path):
    assert preset(tmp_path, "digits", {"model.mlp_ratio": 2}).model.mlp_ratio == 2.0


def test_parameters_cannot_be_changed_after_reading(tmp_path):
    params = preset(tmp_path, "digits")
    with pytest.raises(ValueError, match="frozen"):
        params.train.lr = 1.0


def test_flatten_spells_a_nested_key_with_dots():
    assert flatten({"a": {"b": {"c": 1}, "d": [2, 3]}, "e": None}) == {"a.b.c": 1, "a.d": [2, 3], "e": None}


# Each: the values that replace those of preset digits, and what the message must hold.
BAD_VALUES = {
    "mean in bytes": ({"pack.mean": [123.7]}, ["pack.mean", "[123.7]", "auto or a list of numbers in [0, 1]"]),
    "mean of other channels": ({"pack.mean": [0.5, 0.5, 0.5]}, ["mean [0.5, 0.5, 0.5] has 3 values for 1 channels"]),
    "no deviation": ({"pack.std": [0.0]}, ["std [0.0] contains 0"]),
    "nothing kept": ({"pack.crop_pct": 0.0}, ["pack.crop_pct", "0.0", "greater than 0"]),
    "two crops": ({"pack.crop_pct": 0.9}, ["crop_pct 0.9 needs fit center or stretch, not crop"]),
    "unknown filter": ({"pack.interpolation": "cubic"}, ["pack.interpolation", "'cubic'", "'bicubic'"]),
    "an activation that there is not": ({"model.act_layer": "relu"}, ["model.act_layer", "'relu'", "quick_gelu"]),
    "a negative number of registers": ({"model.reg_tokens": -1}, ["model.reg_tokens", "-1"]),
    "LayerScale of zero": ({"model.init_values": 0.0}, ["model.init_values", "0.0"]),
    "no epsilon": ({"model.norm_eps": 0.0}, ["model.norm_eps", "0.0"]),
    "a head of text without a tower": (
        {"train.init_head": "text"},
        ["init_head text needs the text tower of a CLIP or"],
    ),
    "a template without a class": (
        {"train.head_templates": ["a photo"]},
        ["train.head_templates", "'a photo'"],
    ),
    "pooling by a text": ({"model.pool": "token"}, ["model.pool", "'token'", "map"]),
    "an odd width to gate": (
        {"model.mlp_layer": "swiglu", "model.mlp_ratio": 0.02},
        ["mlp_layer 'swiglu' needs an even hidden width"],
    ),
    "hub without a name": ({"data.source": "huggingface"}, ["data", "huggingface needs hub_name", "owner/name"]),
    "hub name without owner": ({"data.hub_name": "cifar10"}, ["data.hub_name", "'cifar10'"]),
    "use of a hub's split": ({"data.hub_splits": {"train": "fit"}}, ["data.hub_splits", "'fit'"]),
    "hub splits without a test split": ({"data.hub_splits": {"a": "train"}}, ["hub_splits", "a test split"]),
    "hub splits pooled in part": (
        {"data.hub_splits": {"a": "train", "b": "test", "c": "pool"}},
        ["hub_splits", "mixes pool with other uses"],
    ),
    "labels outside of the source": ({"data.labels": "../train.csv"}, ["'../train.csv'", "inside data.path"]),
    "labels that are no CSV": ({"data.labels": "train.xlsx"}, ["'train.xlsx'", "a .csv inside data.path"]),
    "names of classes without labels": ({"data.class_names": "names.csv"}, ["'names.csv'", "also set labels"]),
    "two meanings of a class": ({"data.labels": "a.csv", "data.class_level": 2}, ["'a.csv'", "class_level 2"]),
    "unknown block": ({"extra": 1}, ["unknown key 'extra'", "did you mean '"]),
    "unknown key": ({"model.depht": 4}, ["unknown key 'model.depht'", "did you mean 'model.depth'?"]),
    "unknown deep key": (
        {"train.augment.hflop": 0.5},
        ["'train.augment.hflop'", "did you mean 'train.augment.hflip'?"],
    ),
    "value for a block": ({"evaluate": 5}, ["evaluate", "5"]),
    "null for a block": ({"train.augment": None}, ["train.augment", "null"]),
    "text for an integer": ({"model.depth": "four"}, ["model.depth", "'four'", "integer"]),
    "fraction for an integer": ({"train.epochs": 60.5}, ["train.epochs", "60.5", "integer"]),
    "truth for an integer": ({"train.epochs": True}, ["train.epochs", "true", "integer"]),
    "text for a float": ({"train.lr": "fast"}, ["train.lr", "'fast'", "number"]),
    "null for a float": ({"train.label_smoothing": None}, ["train.label_smoothing", "null", "number"]),
    "number for a truth": ({"model.qkv_bias": 1}, ["model.qkv_bias", "1", "boolean"]),
    "yes for a truth": ({"evaluate.svc_baseline": "yes"}, ["evaluate.svc_baseline", "'yes'", "boolean"]),
    "number for a text": ({"data.path": 7}, ["data.path", "7", "string"]),
    "number for a list": ({"pack.image_size": 8}, ["pack.image_size", "8", "list"]),
    "list too short": ({"train.betas": [0.9]}, ["train.betas", "[0.9]", "2 items"]),
    "list too long": ({"pack.image_size": [8, 8, 3]}, ["pack.image_size", "[8, 8, 3]", "2 items"]),
    "no height": ({"pack.image_size": [0, 8]}, ["pack.image_size.0", "0", "greater"]),
    "beta of one": ({"train.betas": [0.9, 1.0]}, ["train.betas.1", "1.0", "less than 1"]),
    "lr of zero": ({"train.lr": 0.0}, ["train.lr", "0.0", "greater than 0"]),
    "lr below zero": ({"train.lr": -0.001}, ["train.lr", "-0.001", "greater than 0"]),
    "nothing clipped": ({"train.clip_grad": 0.0}, ["train.clip_grad", "0.0", "greater than 0"]),
    "dropout of one": ({"model.drop_rate": 1.0}, ["model.drop_rate", "1.0", "less than 1"]),
    "probability above one": ({"train.augment.erasing": 1.5}, ["train.augment.erasing", "1.5", "1"]),
    "more than half a turn": ({"train.augment.degrees": 181.0}, ["train.augment.degrees", "181.0", "180"]),
    "seed below zero": ({"data.seed": -1}, ["data.seed", "-1", "0"]),
    "seed too large": ({"split.seed": 2**31}, ["split.seed", "2147483648"]),
    "explained images below zero": ({"evaluate.explain_images": -1}, ["evaluate.explain_images", "-1", "0"]),
    "class level of zero": ({"data.class_level": 0}, ["data.class_level", "0", "auto or an integer >= 1"]),
    "class level in words": ({"data.class_level": "top"}, ["data.class_level", "'top'", "auto or an integer >= 1"]),
    "no name for weights": ({"train.init_from": ""}, ["train.init_from", "''", "1 character"]),
    "frozen layers below zero": ({"train.frozen_layers": -1}, ["train.frozen_layers", "-1", "0"]),
    "frozen layers in words": ({"train.frozen_layers": "most"}, ["train.frozen_layers", "'most'", "all or an integer"]),
    "frozen layers as a switch": ({"train.frozen_layers": True}, ["train.frozen_layers", "true", "all or an integer"]),
    "variations below zero": ({"train.feature_variations": -1}, ["train.feature_variations", "-1", "0"]),
    "mixed images and stored features": (
        {"train.frozen_layers": "all", "train.augment.mixup": 0.2},
        ["frozen_layers all", "augment.mixup 0.2", "set augment.mixup to 0.0"],
    ),
    "mixed patches and stored features": (
        {"train.frozen_layers": "all", "train.augment.cutmix": 1.0},
        ["frozen_layers all", "augment.cutmix 1.0", "set augment.cutmix to 0.0"],
    ),
    "a teacher of stored features": (
        {"train.frozen_layers": "all", "train.teacher": "weights/x", "train.distillation": "soft"},
        ["frozen_layers all", "distillation soft", "set distillation to none"],
    ),
    "shards of a head": (
        {"train.frozen_layers": "all", "train.parallel": "fsdp"},
        ["frozen_layers all", "parallel fsdp", "set parallel to ddp"],
    ),
    "a frozen model that has no layers": (
        {"train.frozen_layers": "all", "model.name": "cnn"},
        ["train.frozen_layers all", "model.name cnn", "set it to 0"],
    ),
    "unknown metric": ({"train.select_by": "f1"}, ["train.select_by", "'f1'", "'macro_f1'"]),
    "confidence beyond what draws can show": (
        {"register.metric": "macro_f1", "register.confidence": 0.9999},
        ["confidence 0.9999", "0.999", "'macro_f1'"],
    ),
    "classes balanced twice": (
        {"train.sampler": "balanced", "train.class_weights": "balanced"},
        ["sampler 'balanced'", "class_weights 'balanced'", "none"],
    ),
    "no epochs": ({"train.epochs": 0}, ["train.epochs", "0", "1"]),
    "no number": ({"train.weight_decay": float("nan")}, ["train.weight_decay", "nan", "finite"]),
    "infinity": ({"train.clip_grad": float("inf")}, ["train.clip_grad", "inf", "finite"]),
    "unknown choice": ({"model.pool": "max"}, ["model.pool", "'max'", "'cls', 'avg' or 'map'"]),
    "unknown source": ({"data.source": "web"}, ["data.source", "'web'", "'kaggle'"]),
    "two channels": ({"pack.channels": 2}, ["pack.channels", "2", "1 or 3"]),
    "image not of patches": (
        {"pack.image_size": [8, 9], "model.patch_size": 2},
        ["pack.image_size [8, 9]", "model.patch_size 2"],
    ),
    "heads not dividing": ({"model.num_heads": 5, "model.embed_dim": 64}, ["num_heads 5", "embed_dim 64"]),
    "sincos2d of odd width": (
        {"model.embed_dim": 6, "model.num_heads": 2, "model.pos_embed": "sincos2d"},
        ["sincos2d", "embed_dim", "6"],
    ),
    "pretraining without patches": (
        {"pretrain.epochs": 2, "model.name": "cnn"},
        ["pretraining is not supported for model.name cnn", "set it to vit", "pretrain.epochs, 2, to 0"],
    ),
    "pretraining after mixed patches": (
        {"pretrain.epochs": 2, "model.stem": "conv", "model.patch_size": 2},
        ["model.stem 'conv' mixes neighbouring patches", "set it to patch"],
    ),
    "nothing left to see": (
        {"pretrain.epochs": 2, "pretrain.mask_ratio": 0.99, "model.stem": "patch", "model.patch_size": 4},
        ["pretrain.mask_ratio 0.99", "8x8 pixels have 4 of 4x4"],
    ),
    "nothing to predict": (
        {"pretrain.epochs": 2, "model.stem": "patch", "model.patch_size": 1},
        ["patches of several pixels to predict", "of 1x1"],
    ),
    "pretraining on shards": (
        {"pretrain.epochs": 2, "model.stem": "patch", "pack.mode": "shards"},
        ["pack.mode shards", "set it to arrays"],
    ),
    "a head of text and pretraining": (
        {"pretrain.epochs": 2, "model.stem": "patch", "train.init_head": "text", "train.init_from": "weights/x"},
        ["train.init_head text", "set it to auto"],
    ),
    "a warm-up longer than the pretraining": (
        {"pretrain.epochs": 2, "pretrain.warmup_epochs": 3.0},
        ["warmup_epochs 3.0 must not exceed epochs 2"],
    ),
    "a decoder that cannot have heads": ({"pretrain.decoder_dim": 30}, ["decoder_dim 30", "multiple of 4"]),
    "unknown model": ({"model.name": "resnet18"}, ["model.name", "'resnet18'", "torchvision/resnet18"]),
    "no model of torchvision": ({"model.name": "torchvision/"}, ["model.name", "'torchvision/'"]),
    "model with options": ({"model.name": "torchvision/a b"}, ["model.name", "'torchvision/a b'"]),
    "unknown stem": ({"model.stem": "pool"}, ["model.stem", "'pool'", "'patch' or 'conv'"]),
    "stem that cannot halve": (
        {"model.stem": "conv", "model.patch_size": 6, "pack.image_size": [12, 12]},
        ["stem 'conv'", "power of 2", "6"],
    ),
    "stem without halving": ({"model.stem": "conv", "model.patch_size": 1}, ["stem 'conv'", "at least 2", "1"]),
    "stem of too few convolutions": (
        {"model.stem": "conv", "model.patch_size": 8, "model.stem_widths": [16, 32]},
        ["patch_size 8", "3 stem_widths", "[16, 32]"],
    ),
    "layers without blocks": (
        {"model.name": "torchvision/resnet18", "train.layer_decay": 0.75},
        ["train.layer_decay 0.75", "torchvision/resnet18", "set it to 1.0"],
    ),
    "checkpoints without blocks": (
        {"model.name": "cnn", "train.grad_checkpointing": True},
        ["train.grad_checkpointing true", "set it to false"],
    ),
    "shards without blocks": (
        {"model.name": "cnn", "train.optimizer": "adamw", "train.parallel": "fsdp"},
        ["train.parallel fsdp", "to ddp"],
    ),
    "kernel without attention": (
        {"model.name": "cnn", "train.attention": "fused"},
        ["train.attention fused", "set it to auto"],
    ),
    "nothing to train on": (
        {"split.val_fraction": 0.5, "split.test_fraction": 0.5},
        ["val_fraction 0.5", "test_fraction 0.5"],
    ),
    "no val": ({"split.val_fraction": 0.0}, ["split.val_fraction", "0.0", "greater than 0"]),
    "subset of none": ({"split.subset_per_class": 0}, ["split.subset_per_class", "0", "1"]),
    "min_lr above lr": ({"train.min_lr": 0.01, "train.lr": 0.002}, ["min_lr 0.01", "lr 0.002"]),
    "warm-up too long": ({"train.warmup_epochs": 61, "train.epochs": 60}, ["warmup_epochs 61", "epochs 60"]),
    "teacher not heard": (
        {"train.teacher": "models:/vit/1"},
        ["teacher models:/vit/1", "distillation 'none'", "with soft or hard", "null with none"],
    ),
    "nobody teaches": ({"train.distillation": "hard"}, ["teacher None", "distillation 'hard'", "models:/name/VERSION"]),
    "labels unheard": ({"train.distillation_alpha": 1.0}, ["train.distillation_alpha", "1.0", "less than 1"]),
    "cold teacher": ({"train.distillation_temperature": 0.0}, ["train.distillation_temperature", "0.0", "greater"]),
    "unknown device": ({"train.device": "gpu"}, ["train.device", "'gpu'", "cuda"]),
    "device with text": ({"evaluate.device": "cuda:one"}, ["evaluate.device", "'cuda:one'"]),
    "numbered auto": ({"train.device": "auto:1"}, ["train.device", "'auto:1'"]),
    "no path": ({"data.path": None}, ["data.path", "null"]),
    "empty path": ({"data.path": ""}, ["data.path", "''"]),
    "handle without owner": ({"data.kaggle_handle": "cats"}, ["data.kaggle_handle", "'cats'"]),
    "handle with version": ({"data.kaggle_handle": "a/b/versions/3"}, ["data.kaggle_handle", "'a/b/versions/3'"]),
    "version of zero": ({"data.kaggle_version": 0}, ["data.kaggle_version", "0", "1"]),
    "workers in words": ({"pack.workers": "many"}, ["pack.workers", "'many'", "auto"]),
    "range of one": ({"pack.value_range": [4095]}, ["pack.value_range", "[4095]", "auto or two numbers [low, high]"]),
    "range upside down": ({"pack.value_range": [4095, 0]}, ["pack.value_range", "[4095, 0]", "the lower one first"]),
    "range of nothing": ({"pack.value_range": [7, 7]}, ["pack.value_range", "[7, 7]", "the lower one first"]),
    "range without end": ({"pack.value_range": [0, float("inf")]}, ["pack.value_range", "inf", "two numbers"]),
    "range in words": ({"pack.value_range": "12 bits"}, ["pack.value_range", "'12 bits'", "auto or two numbers"]),
    "range of null": ({"pack.value_range": None}, ["pack.value_range", "null", "auto or two numbers"]),
    "pink background": ({"pack.background": "pink"}, ["pack.background", "'pink'", "'white', 'black' or 'gray'"]),
    "no threads": ({"train.threads": 0}, ["train.threads", "0", "1"]),
    "certainty": ({"evaluate.confidence_level": 1.0}, ["evaluate.confidence_level", "1.0", "less than 1"]),
    "gate without doubt": ({"register.confidence": 1.0}, ["register.confidence", "1.0", "less than 1"]),
    "everything lost": ({"register.margin": 1.0}, ["register.margin", "1.0", "less than 1"]),
    "no image to judge by": ({"register.min_images": 0}, ["register.min_images", "0", "1"]),
    "floor in percent": ({"register.min_accuracy": 95.0}, ["register.min_accuracy", "95.0", "1"]),
    "question without a class": ({"evaluate.questions": {"tom": []}}, ["evaluate.questions.tom", "[]", "1 item"]),
    "question with a text": ({"evaluate.questions": {"tom": "cat"}}, ["evaluate.questions.tom", "'cat'", "list"]),
    "unknown change": ({"evaluate.invariance": ["vflip"]}, ["evaluate.invariance.0", "'vflip'", "'hflip'"]),
    "no bins": ({"evaluate.ece_bins": 0}, ["evaluate.ece_bins", "0", "1"]),
    "top of none": ({"evaluate.top_k": 0}, ["evaluate.top_k", "0", "1"]),
    "name with slash": ({"register.name": "my/vit"}, ["register.name", "'my/vit'"]),
}


@pytest.mark.parametrize(("changes", "fragments"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_value_is_refused_by_its_key_and_value(tmp_path, changes, fragments):
    with pytest.raises(UserError) as caught:
        preset(tmp_path, "digits", changes)
    for fragment in [str(tmp_path / "params.yaml"), *fragments]:
        assert fragment in str(caught.value)


# Each: a text of preset digits, what stands there instead, and what the message must hold.
BAD_TEXTS = {
    "misspelt key": ("  patch_size:", "  pach_size:", ["'model.pach_size'", "'model.patch_size'"]),
    "misspelt block": ("pack:  ", "pakc:  ", ["'pakc'", "'pack"]),
    "broken YAML": ("image_size: [8, 8]", "image_size: [8, 8", ["not valid YAML", "line"]),
    "key twice": ("  depth:", "  depth: 6\n  depth:", ["not valid YAML", "depth"]),
    "tab": ("  depth:", "\tdepth:", ["not valid YAML"]),
}


@pytest.mark.parametrize(("old", "new", "fragments"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_a_bad_file_is_refused_by_what_is_wrong_in_it(tmp_path, old, new, fragments):
    assert DIGITS.count(old) == 1
    path = tmp_path / "params.yaml"
    path.write_text(DIGITS.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_params(path)
    for fragment in [str(path), *fragments]:
        assert fragment in str(caught.value)


@pytest.mark.parametrize("block", ["data", "split", "pack", "model", "pretrain", "train", "evaluate", "register"])
def test_a_missing_key_or_section_is_named_with_what_adds_it(tmp_path, block):
    path = tmp_path / "params.yaml"
    for missing in [block, *(key for key in all_keys() if key.startswith(f"{block}."))]:
        values = YAML(typ="safe", pure=True).load(DIGITS)
        *blocks, last = missing.split(".")
        inner = values
        for name in blocks:
            inner = inner[name]
        del inner[last]
        path.write_text(json.dumps(values), encoding="utf-8")
        first = next(key for key in all_keys() if f"{key}.".startswith(f"{missing}."))
        with pytest.raises(UserError, match=f"key '{re.escape(first)}' is missing; `vit preset --complete` adds it"):
            load_params(path)


def test_a_missing_file_is_refused_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(UserError, match=r"absent\.yaml: No such file.*`vit preset digits` writes one"):
        load_params(tmp_path / "absent.yaml")


def test_an_empty_file_is_called_empty(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml: is empty; `vit preset digits` writes one"):
        load_params(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"data: \xff\xfe\n")
    with pytest.raises(UserError, match="not valid YAML"):
        load_params(path)


def test_a_second_problem_is_counted(tmp_path):
    with pytest.raises(UserError, match=r"\(and 1 more\)"):
        preset(tmp_path, "digits", {"train.epochs": 0, "train.lr": 0.0})


def test_one_bad_value_is_counted_once_where_auto_is_allowed_too(tmp_path):
    with pytest.raises(UserError) as caught:
        preset(tmp_path, "digits", {"pack.workers": "many"})
    assert "more)" not in str(caught.value)
