"""Public Vision Transformers are recognized by names, shapes and config.json, and give their originals' output."""

import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import transformers

from benchmarks.parity import CASES, GOAL, Case, as_ours, differences
from vit.config.model import ModelParams
from vit.errors import UserError
from vit.files import read_json
from vit.inference.timm_format import write_timm
from vit.models.families import new_model
from vit.models.published.reading import TensorFile
from vit.models.published.recognize import BASE, TRANSFORMERS, Published, recognize

# Parallel blocks, norms in other places, or an average of normalized tokens.
NOT_OURS = (
    r"vit_\w+_(rpn|xp|18x2|radio)\w*|vit_(dlittle|dpwee|dwee|pwee|intern300m)_\w+|vit_\w+_patch\d+(_siglip)?_gap_\d+|"
    r"vit_so150m_\w+_gap_\d+"
)
ACTIVATIONS = {"GELU": "gelu", "GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu", "SiLU": "gelu"}
TINY = {"embed_dim": 16, "depth": 1, "num_heads": 2}


def case_of(family: str, library: str) -> Case:
    return next(case for case in CASES if case.family == family and library in case.write.__name__)


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


def built(found: Published) -> torch.nn.Module:
    model = ModelParams(**found.model).model_dump() | ({"distilled": True} if found.distilled else {})
    shape = {"image_size": found.image_size, "channels": found.channels, "classes": range(max(found.outputs, 1))}
    return new_model(shape | {"model": model})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family} as {case.name}")
def test_every_family_gives_the_originals_output_at_its_own_another_and_a_rectangular_size(case):
    found, largest = differences(case)
    assert max(found) <= GOAL and largest > 1


@pytest.mark.parametrize(
    ("family", "library", "wrong"),
    [
        ("CLIP", "transformers", {"act_layer": "gelu"}),
        ("SigLIP", "transformers", {"act_layer": "gelu"}),
        ("DINOv2", "timm", {"num_heads": 6}),
        ("ViT", "transformers", {"norm_eps": 1e-3}),
    ],
)
def test_a_wrong_setting_that_no_shape_shows_would_be_seen_in_the_table(monkeypatch, family, library, wrong):
    import benchmarks.parity as parity

    def mistaken(shapes, config):
        found = recognize(shapes, config)
        found.model.update(wrong)
        return found

    monkeypatch.setattr(parity, "recognize", mistaken)
    assert min(differences(case_of(family, library))[0]) > GOAL


@pytest.mark.parametrize(("family", "antialias"), [("DINOv2", True), ("DINOv2 with registers", False)])
def test_positions_resampled_by_another_rule_would_be_seen_in_the_table(monkeypatch, family, antialias):
    import benchmarks.parity as parity

    def mistaken(shapes, config):
        found = recognize(shapes, config)
        found.positions["antialias"] = antialias
        return found

    case = case_of(family, "transformers")
    config = TRANSFORMERS["dinov2" if antialias else "dinov2_with_registers"]
    monkeypatch.setitem(config[1], "antialias", config[1]["antialias"])  # restored afterwards
    monkeypatch.setattr(parity, "recognize", mistaken)
    own, larger, rectangular = differences(case)[0]
    assert own <= GOAL < min(larger, rectangular)


def test_every_architecture_of_timm_is_recognized_with_its_settings_or_refused():
    names = [*timm.list_models("vit_*", module="vision_transformer"), *timm.list_models(module="deit")]
    kinds = {re.sub(r"_\d+$", "", name): name for name in names}  # the image size changes nothing
    for name in kinds.values():
        with torch.device("meta"):
            theirs = timm.create_model(name, depth=1)
        cfg = {"input_size": theirs.pretrained_cfg["input_size"]}
        told = shapes_of(theirs), {"architecture": name, "pretrained_cfg": cfg}
        if re.fullmatch(NOT_OURS, name):
            with pytest.raises(UserError, match=r"^the weights.*; use other weights$"):
                recognize(*told)
            continue
        found = recognize(*told)
        with torch.device("meta"):
            ours = shapes_of(built(found))
        block = theirs.blocks[0]
        assert found.model["num_heads"] == block.attn.num_heads, name
        assert found.model["norm_eps"] == block.norm1.eps, name
        assert found.model["act_layer"] == ACTIVATIONS[type(block.mlp.act).__name__], name
        assert found.model["no_embed_class"] == (theirs.no_embed_class and theirs.num_prefix_tokens > 0), name
        side, patch = theirs.patch_embed.img_size[0], theirs.patch_embed.patch_size[0]
        assert found.image_size == [side // patch * patch] * 2, name  # of 384 pixels, patches of 14 cover 378
        assert {key: size for key, size in ours.items() if found.outputs or not key.startswith("head")} == told[0], name


def test_what_config_json_leaves_out_is_what_transformers_takes():
    for kind, (defaults, _) in TRANSFORMERS.items():
        config = transformers.CONFIG_MAPPING[kind]()
        known = BASE | defaults
        if "num_patches" in defaults:
            known.pop("image_size")
        assert {key: getattr(config, key) for key in known} == known, kind


def test_the_image_tower_is_taken_out_of_a_model_of_images_and_texts(tmp_path):
    tower = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    for name in ("CLIP", "Siglip"):
        vision = tower | {"image_size": 16, "patch_size": 4}
        text = tower | {"vocab_size": 50, "max_position_embeddings": 8}
        config = getattr(transformers, f"{name}Config")(vision_config=vision, text_config=text, projection_dim=6)
        getattr(transformers, f"{name}Model")(config).save_pretrained(tmp_path / name)
        file = TensorFile(tmp_path / name / "model.safetensors")
        found = recognize(file.shapes, read_json(tmp_path / name / "config.json"))
        made_of = {theirs for tensor in found.tensors.values() for theirs in tensor.theirs}
        assert made_of | found.dropped.keys() == set(file)
        assert not [theirs for theirs in made_of if theirs.startswith("text")]
        assert found.outputs == (6 if name == "CLIP" else 0)
        assert found.translate(file).keys() >= {"blocks.0.attn.qkv.weight", "pos_embed"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "swin_tiny"}, "swin_tiny is not among the architectures known here"),
        ({"model_type": "swin"}, "model_type 'swin' is none of vit, deit,"),
        ({}, "model_type 'none' is none of vit"),
        ({"model_type": "vit", "hidden_act": "relu"}, "hidden_act 'relu' is none of gelu,"),
        ({"model_type": "vit", "num_attention_heads": 5}, "its 5 attention heads do not divide its width 16"),
        (
            {"architecture": "vit_tiny_patch16_224", "model_args": {"act_layer": "relu"}},
            "act_layer 'relu' is none of gelu,",
        ),
        ({"architecture": "vit_tiny_patch16_224", "model_args": {"qk_norm": True}}, r"no .* has: .*k_norm"),
        ({"architecture": "vit_tiny_patch16_224", "model_args": {"global_pool": "avg"}}, "without norm.weight"),
    ],
    ids=str,
)
def test_weights_that_are_no_model_of_this_project_are_refused_with_the_reason(config, message):
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=32, **TINY | config.get("model_args", {}))
    shapes = shapes_of(theirs)
    if "model_args" in config:
        config = config | {"model_args": TINY | config["model_args"]}
    if "model_type" in config and config["model_type"] == "vit":
        small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        shapes = shapes_as_saved(transformers.ViTModel(transformers.ViTConfig(**small)))
    with pytest.raises(UserError, match=rf"^somebody's.*{message}.*use other weights$"):
        recognize(shapes, config, "somebody's")


def shapes_as_saved(model: transformers.PreTrainedModel) -> dict[str, tuple[int, ...]]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return TensorFile(Path(folder) / "model.safetensors").shapes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_tensors_are_read_as_torch_reads_them(tmp_path, dtype):
    held = {"a": torch.randn(3, 4).to(dtype), "b": torch.randn(5).to(dtype)}
    safetensors.torch.save_file(held, tmp_path / "file")
    file = TensorFile(tmp_path / "file")
    assert file.shapes == {"a": (3, 4), "b": (5,)}
    assert all(np.array_equal(file[name], value.float().numpy()) for name, value in held.items())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family} as {case.name}")
def test_weights_go_back_out_under_timms_names_and_load_there_strictly(tmp_path, case):
    size = (12, 24)
    (tmp_path / "theirs").mkdir(), (tmp_path / "ours").mkdir()
    case.write(case, tmp_path / "theirs")
    classifier = as_ours(tmp_path / "theirs", tmp_path / "ours", size)
    write_timm(classifier, tmp_path / "ours")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'ours'}", pretrained=True).eval()
    assert shapes_of(theirs) == shapes_of(classifier.model)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))
    # transformers' epsilon of 1e-12 becomes 1e-6, as the same published weights have it in timm.
    tolerance = GOAL if classifier.config["model"]["norm_eps"] >= 1e-6 else 1e-4
    with torch.inference_mode():
        torch.testing.assert_close(classifier.model(images), theirs(images), atol=tolerance, rtol=0)
    file, config = TensorFile(tmp_path / "ours" / "model.safetensors"), read_json(tmp_path / "ours" / "config.json")
    back = recognize(file.shapes, config)
    wanted = {name: classifier.config["model"][name] for name in back.model}
    assert back.model == wanted | {"norm_eps": max(wanted["norm_eps"], 1e-6)}
    assert back.image_size == list(size) and back.classes == classifier.classes[: back.outputs]
