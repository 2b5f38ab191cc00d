"""Parameters of section model that the names and shapes of a Vision Transformer's weights show."""

import math
from collections.abc import Mapping


def geometry(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, object]:
    """The keys of section model that tensors of these shapes, under our names, determine; {} without any."""
    found: dict[str, object] = {}
    patches = shapes.get("patch_embed.proj.weight", ())
    if len(patches) == 4 and patches[1] in (1, 3):
        found |= {"patch_size": patches[-1], "embed_dim": patches[0]}
        found["pre_norm"] = "norm_pre.weight" in shapes
    if depth := len({name.split(".")[1] for name in shapes if name.startswith("blocks.")}):
        found["depth"] = depth
        found["qkv_bias"] = "blocks.0.attn.qkv.bias" in shapes
        if "blocks.0.ls1.gamma" in shapes:
            found["init_values"] = 1e-5
        if "blocks.0.norm1.weight" in shapes:
            found["norm"] = "layernorm" if "blocks.0.norm1.bias" in shapes else "rmsnorm"
    if "blocks.0.mlp.fc1.weight" in shapes:
        hidden, width = shapes["blocks.0.mlp.fc1.weight"]
        found["mlp_ratio"] = _ratio(hidden, width)
        found["mlp_layer"] = "mlp" if shapes["blocks.0.mlp.fc2.weight"][1] == hidden else "swiglu"
    if "pos_embed" in shapes:
        found["pos_embed"] = "learned"
        found["reg_tokens"] = shapes["reg_token"][1] if "reg_token" in shapes else 0
        found["pool"] = "map" if "attn_pool.latent" in shapes else "cls" if "cls_token" in shapes else "avg"
    return found


def square(count: int) -> tuple[int, int] | None:
    """The sides of a square grid of `count` patches."""
    side = math.isqrt(max(count, 0))
    return (side, side) if side and side * side == count else None


def _ratio(hidden: int, width: int) -> float:
    """The number that, times `width` and rounded down, is `hidden`."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)
