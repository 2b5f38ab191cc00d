"""A Vision Transformer as a folder that timm loads: weights under timm's names, and a config.json in timm's format."""

from pathlib import Path

import safetensors.torch
from torch import nn

from vit.config.files import CONFIG, WEIGHTS
from vit.errors import UserError
from vit.files import write_json
from vit.inference.classifier import Classifier
from vit.models.families import has_attention

# timm's config.json can name neither an epsilon nor an MLP, so the architecture that the arguments change must have it.
EPSILONS = {1e-6: "vit_base_patch16_224", 1e-5: "vit_base_patch16_clip_224"}
SWIGLU, DISTILLED = "vit_giant_patch14_dinov2", "deit_base_distilled_patch16_224"
SAME = ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias", "init_values")
POOLS = {"cls": "token", "avg": "avg", "map": "map"}
FITS = {"crop": "center", "stretch": "squash"}


def write_timm(classifier: Classifier, folder: Path) -> None:
    """Write model.safetensors and config.json for `timm.create_model("local-dir:FOLDER", pretrained=True)`.

    Fixed position embeddings become learned ones with the same values. An epsilon below 1e-6 becomes 1e-6. Raises
    UserError if timm has no such model.
    """
    config, settings = classifier.config, classifier.config["model"]
    architecture = _architecture(classifier.model, settings)
    held = classifier.model.state_dict() | {"pos_embed": classifier.model.pos_embed}
    weights = {name: weight.detach().float().cpu().contiguous() for name, weight in held.items()}
    outputs = len(weights["head.weight"]) if "head.weight" in weights else 0
    shape = {"img_size": config["image_size"], "in_chans": config["channels"], "global_pool": POOLS[settings["pool"]]}
    arguments = shape | {name: settings[name] for name in SAME if settings[name] is not None}
    arguments |= {name: settings[name] for name in ("pre_norm", "no_embed_class") if settings[name]}
    if architecture == EPSILONS[1e-5]:
        arguments["pre_norm"] = settings["pre_norm"]
    if settings["mlp_layer"] == "mlp" and settings["act_layer"] != "gelu":
        arguments["act_layer"] = settings["act_layer"]
    if settings["norm"] == "rmsnorm":
        arguments["norm_layer"] = "rmsnorm"
    if architecture != DISTILLED:
        arguments |= {"class_token": settings["pool"] == "cls", "reg_tokens": settings["reg_tokens"]}
    pretrained = {
        "input_size": [config["channels"], *config["image_size"]],
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": FITS[config.get("fit", "crop")],
        "mean": classifier.mean,
        "std": classifier.std,
        "num_classes": outputs,
        "first_conv": "patch_embed.proj",
        "classifier": ["head", "head_dist"] if architecture == DISTILLED else "head",
    }
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    described = {"architecture": architecture, "num_classes": outputs, "num_features": settings["embed_dim"]}
    names = {"label_names": classifier.classes[:outputs]}
    write_json(folder / CONFIG, described | names | {"model_args": arguments, "pretrained_cfg": pretrained})


def _architecture(model: nn.Module, settings: dict) -> str:
    """The architecture of timm that takes the arguments. Raises UserError with the settings that it does not know."""
    if not has_attention(model):
        raise UserError(
            f"--format timm is for Vision Transformers, not for {settings['name']}; use --format onnx or torch"
        )
    epsilon = max(settings["norm_eps"], 1e-6)
    refused = {
        "stem 'conv'": settings["stem"] == "conv",
        f"norm_eps {settings['norm_eps']}": epsilon not in EPSILONS,
        "a distillation token with another pool than cls": model.distilled and settings["pool"] != "cls",
        "a distillation token with registers": model.distilled and settings["reg_tokens"] > 0,
        "mlp_layer 'swiglu' with norm_eps 1e-5 or a distillation token": settings["mlp_layer"] == "swiglu"
        and (epsilon != 1e-6 or model.distilled),
        "mlp_layer 'swiglu' with pool 'map'": settings["mlp_layer"] == "swiglu" and settings["pool"] == "map",
        "norm_eps 1e-5 with a distillation token or rmsnorm": epsilon == 1e-5
        and (model.distilled or settings["norm"] == "rmsnorm"),
    }
    if reasons := [reason for reason, applies in refused.items() if applies]:
        raise UserError(f"timm has no model with {', '.join(reasons)}; use --format onnx or torch")
    if model.distilled:
        return DISTILLED
    return SWIGLU if settings["mlp_layer"] == "swiglu" else EPSILONS[epsilon]
