"""The bare model beside timm's with the same weights: passes without a server, an image file or a step."""

import time
from collections.abc import Callable

import timm.models.vision_transformer
import torch

from benchmarks.rows import alternating, row
from vit.inference.classifier import bfloat16
from vit.models.vision_transformer import VisionTransformer

TOLERANCE = 0.02  # of probabilities in bfloat16
SMALL = {"embed_dim": 192, "depth": 6, "num_heads": 3, "patch_size": 4}  # 32x32, as in most ViT tutorials


def models() -> dict[str, tuple[torch.nn.Module, torch.dtype]]:
    """timm's model in the geometry SMALL in float32, and ours with its weights in bfloat16 and in float32."""
    rest = {"mlp_ratio": 4.0, "qkv_bias": True, "drop_rate": 0.0, "attn_drop_rate": 0.0, "drop_path_rate": 0.0}
    plain = {"pool": "cls", "pos_embed": "learned", "norm": "layernorm"}
    peer = timm.models.vision_transformer.VisionTransformer(img_size=32, num_classes=10, **SMALL).eval()
    exact, fast = (
        VisionTransformer(image_size=[32, 32], in_chans=3, num_classes=10, **SMALL, **rest, **plain) for _ in range(2)
    )
    for ours in (exact, fast):
        ours.eval().load_state_dict(peer.state_dict())
    bfloat16.convert(fast)
    return {"timm": (peer, torch.float32), "bfloat16": (fast, torch.bfloat16), "float32": (exact, torch.float32)}


def random_images(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def bare_rows(most_passes: int, rounds: int) -> list[dict]:
    """Forward passes of 32x32 images in bfloat16 and float32, beside timm's in float32.

    `most_passes` are timed at batch 1, fewer at 32.
    """
    compared = models()
    rows = []
    for batch, goal in ((1, 1.4), (32, 3)):
        x = random_images(batch)
        passes = max(1, most_passes // batch)
        speeds = alternating({name: forward(*model, x, passes) for name, model in compared.items()}, max(3, rounds))
        case = f"the bare model, batch {batch}"
        rows += [
            row(f"{case}, bfloat16", speeds["bfloat16"], speeds["timm"], "timm, float32", "images/s", goal),
            row(f"{case}, float32", speeds["float32"], speeds["timm"], "timm, float32", "images/s", None),
        ]
    with torch.inference_mode():
        probabilities = {name: model(x.to(dtype)).float().softmax(dim=1) for name, (model, dtype) in compared.items()}
    for name, tolerance in (("bfloat16", TOLERANCE), ("float32", 1e-5)):
        largest = (probabilities[name] - probabilities["timm"]).abs().max().item()
        case = f"{tolerance} over the largest difference in probability, {name}"
        rows.append(row(case, tolerance / max(largest, 1e-9), 1, "timm, float32", "times", 1))
    return rows


def forward(model: torch.nn.Module, dtype: torch.dtype, x: torch.Tensor, passes: int) -> Callable[[], float]:
    """Images per second through `model`."""
    x = x.to(dtype)

    def work() -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            for _ in range(passes):
                model(x)
        return passes * len(x) / (time.perf_counter() - began)

    work()
    return work
