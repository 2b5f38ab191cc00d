"""The public families of Vision Transformers as this project's model: the largest difference of logits or features.

Each is a small instance of timm's or transformers' own class, all of whose weights are random. It is written as its
library writes it, recognized, translated, and loaded as initial weights, at its own image size, at a larger one and at
a rectangular one; the originals resample their positions themselves. Real sizes differ only in numbers.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from benchmarks.rows import report
from vit.config.model import ModelParams
from vit.files import read_json, write_json
from vit.inference.classifier import Classifier
from vit.models.published.reading import TensorFile
from vit.models.published.recognize import recognize
from vit.training.initial import initialize

GOAL = 1e-5  # absolute, although the largest outputs are about 10
PATCH, SIDE = 4, 16
SIZES = ((SIDE, SIDE), (28, 28), (12, 24))  # its own, larger, rectangular
Weights = dict[str, Tensor]
Run = Callable[[tuple[int, int], Tensor], Tensor]  # image size and images to logits or features


@dataclass(frozen=True)
class Case:
    """A family under one naming: `write` puts model.safetensors and config.json into a folder and returns its `Run`."""

    family: str
    name: str
    write: Callable[["Case", Path], Run]
    settings: dict[str, Any] = field(default_factory=dict)
    classes: int = 5


def randomize(model: nn.Module) -> nn.Module:
    """Draw every parameter: norms and scales around 1, all others around 0, so that none can hide in a wrong place."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_scale = weight.ndim == 1 and not name.endswith("bias") and "embedding" not in name
            weight.copy_(is_scale + 0.2 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def _timm(case: Case, folder: Path) -> Run:
    import timm

    sizes = {"embed_dim": 48, "depth": 2, "num_heads": 3} | case.settings
    path = folder / "model.safetensors"

    def made(size: tuple[int, int], **options) -> nn.Module:
        return timm.create_model(
            case.name, img_size=size, patch_size=PATCH, num_classes=case.classes, **sizes, **options
        ).eval()

    safetensors.torch.save_file(randomize(made((SIDE, SIDE))).state_dict(), path)
    cfg = {"input_size": (3, SIDE, SIDE), "num_classes": case.classes}
    config = {"architecture": case.name.split(".")[0], "pretrained_cfg": cfg, "model_args": sizes}
    write_json(folder / "config.json", config | {"label_names": _names(case.classes)})
    known = cfg | {"file": str(path), "custom_load": False}
    # timm itself loads and resamples the file.
    return lambda size, images: made(size, pretrained=True, pretrained_cfg_overlay=known)(images)


def _transformers(case: Case, folder: Path) -> Run:
    import transformers

    kind = getattr(transformers, case.name)
    size = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    config = kind.config_class(**size | {"image_size": SIDE, "patch_size": PATCH} | case.settings)
    if case.classes:
        config.num_labels = case.classes
    model = randomize(kind(config))
    model.save_pretrained(folder)

    def run(size: tuple[int, int], images: Tensor) -> Tensor:
        return OUTPUTS.get(case.name, _pooled)(model, images)

    return run


def _pooled(model: nn.Module, images: Tensor) -> Tensor:
    if "dinov2" in model.config.model_type:
        return model(images).pooler_output
    return model(images, interpolate_pos_encoding=True).pooler_output


def _hidden(model: nn.Module, images: Tensor) -> Tensor:
    return model(images, interpolate_pos_encoding=True).last_hidden_state


def _mae(model: nn.Module, images: Tensor) -> Tensor:
    patches = images.shape[-1] * images.shape[-2] // PATCH**2
    order = torch.arange(patches).float()[None].expand(len(images), -1)  # noise that shuffles nothing
    return model(images, noise=order, interpolate_pos_encoding=True).last_hidden_state[:, 0]


def _naflex(model: nn.Module, images: Tensor) -> Tensor:
    B, C, H, W = images.shape
    rows, columns = H // PATCH, W // PATCH
    patches = images.reshape(B, C, rows, PATCH, columns, PATCH).permute(0, 2, 4, 3, 5, 1)  # (B, rows, columns, P, P, C)
    shapes = torch.tensor([[rows, columns]] * B)
    mask = torch.ones(B, rows * columns, dtype=torch.long)
    return model(patches.reshape(B, rows * columns, -1), pixel_attention_mask=mask, spatial_shapes=shapes).pooler_output


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    return model(images, interpolate_pos_encoding=True).logits


OUTPUTS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "ViTForImageClassification": _logits,
    "ViTModel": lambda model, images: _hidden(model, images)[:, 0],  # what a classifier reads, without the pooler
    "DeiTModel": lambda model, images: _hidden(model, images)[:, :2].mean(dim=1),  # both tokens, as ours
    "DeiTForImageClassificationWithTeacher": _logits,
    "ViTMAEModel": _mae,
    "CLIPVisionModelWithProjection": lambda model, images: model(images, interpolate_pos_encoding=True).image_embeds,
    "Siglip2VisionModel": _naflex,
}
SWIGLU_TIMM = {"mlp_ratio": 2.66667 * 2}
CASES = (
    Case("ViT, AugReg", "vit_tiny_patch16_224", _timm),
    Case("ViT", "ViTForImageClassification", _transformers),
    Case("DeiT", "deit_tiny_patch16_224", _timm),
    Case("DeiT", "DeiTModel", _transformers, classes=0),
    Case("DeiT, distilled", "deit_tiny_distilled_patch16_224", _timm),
    Case("DeiT, distilled", "DeiTForImageClassificationWithTeacher", _transformers),
    Case("DeiT III", "deit3_small_patch16_224", _timm),
    Case("MAE", "vit_base_patch16_224.mae", _timm, classes=0),
    Case("MAE", "ViTMAEModel", _transformers, {"mask_ratio": 0.0}, classes=0),
    Case("DINO", "vit_small_patch16_224.dino", _timm, classes=0),
    Case("DINO", "ViTModel", _transformers, classes=0),
    Case("DINOv2", "vit_small_patch14_dinov2", _timm, classes=0),
    Case("DINOv2", "Dinov2Model", _transformers, {"mlp_ratio": 2}, classes=0),
    Case("DINOv2 g", "vit_giant_patch14_dinov2", _timm, SWIGLU_TIMM, classes=0),
    Case("DINOv2 g", "Dinov2Model", _transformers, {"use_swiglu_ffn": True}, classes=0),
    Case("DINOv2 with registers", "vit_small_patch14_reg4_dinov2", _timm, classes=0),
    Case("DINOv2 with registers", "Dinov2WithRegistersModel", _transformers, classes=0),
    Case("CLIP", "vit_base_patch16_clip_quickgelu_224", _timm),
    Case("CLIP", "CLIPVisionModel", _transformers, classes=0),
    Case("CLIP with projection", "CLIPVisionModelWithProjection", _transformers, {"projection_dim": 7}, classes=7),
    Case("OpenCLIP", "vit_base_patch16_clip_224", _timm),
    Case("SigLIP", "vit_base_patch16_siglip_224", _timm, classes=0),
    Case("SigLIP", "SiglipVisionModel", _transformers, classes=0),
    Case("SigLIP 2", "vit_so400m_patch16_siglip_256", _timm, {"mlp_ratio": 3.7362}, classes=0),
    Case("SigLIP 2, NaFlex", "Siglip2VisionModel", _transformers, {"num_patches": (SIDE // PATCH) ** 2}, classes=0),
)


def _names(count: int) -> list[str]:
    return [f"LABEL_{number}" for number in range(count)]


def as_ours(folder: Path, target: Path, size: tuple[int, int]) -> Classifier:
    """The published model in `folder` in this project, with initial weights as the stages make them, for `size`."""
    file = TensorFile(folder / "model.safetensors")
    found = recognize(file.shapes, read_json(folder / "config.json"))
    classes = _names(found.outputs)
    weights = {name: torch.from_numpy(value) for name, value in found.translate(file).items()}
    safetensors.torch.save_file(weights, target / "model.safetensors")
    write_json(target / "config.json", found.config() | {"classes": classes})
    model = ModelParams(**found.model).model_dump() | ({"distilled": True} if found.distilled else {})
    shape = {"image_size": list(size), "channels": found.channels, "classes": classes or ["none"]}
    normalization = {"mean": [0.5] * found.channels, "std": [0.5] * found.channels}
    rest = normalization | {"model": model, "compute": {"attention": "fused"}}
    classifier = Classifier.new(shape | rest, torch.device("cpu"))
    initialize(classifier, target)
    if not classes:
        classifier.model.head = nn.Identity()
        classifier.model.head_dist = nn.Identity()
    classifier.model.eval()
    return classifier


def differences(case: Case) -> tuple[list[float], float]:
    """The largest difference from the original at each of SIZES, and the largest output in size."""
    found, largest = [], 0.0
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder, target = Path(name) / "theirs", Path(name) / "ours"
        folder.mkdir(), target.mkdir()
        run = case.write(case, folder)
        for size in SIZES:
            images = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(1))
            expected = run(size, images)
            ours = as_ours(folder, target, size).model(images)
            assert ours.shape == expected.shape and expected.std(dim=0).min() > 0
            found.append((ours - expected).abs().max().item())
            largest = max(largest, expected.abs().max().item())
    return found, largest


def row(case: Case) -> dict:
    found, largest = differences(case)
    return {
        "family": case.family,
        "original": f"{case.write.__name__.strip('_')} {case.name}",
        "compared": "logits" if case.classes else "features",
        **{f"{height}x{width}": f"{one:.1e}" for (height, width), one in zip(SIZES, found, strict=True)},
        "largest_output": round(largest, 1),
        "met": max(found) <= GOAL,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    report([row(case) for case in CASES], parser.parse_args().out)


if __name__ == "__main__":
    main()
