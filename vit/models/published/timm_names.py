"""The names of timm, which are also ours; and what timm's names of architectures say that no shape shows."""

import re

from vit.models.published.renaming import Rule

RULES = (
    Rule(r"((?:cls|dist|reg)_token|pos_embed)", r"\1"),
    Rule(r"((?:patch_embed\.proj|norm_pre|norm|fc_norm|head|head_dist)\.\w+)", r"\1"),
    Rule(r"(blocks\.\d+\.(?:norm[12]|attn\.qkv|attn\.proj|mlp\.fc[12])\.\w+)", r"\1"),
    Rule(r"(blocks\.\d+\.ls[12]\.gamma)", r"\1"),
    Rule(r"(attn_pool\.(?:latent|(?:q|kv|proj|norm|mlp\.fc[12])\.\w+))", r"\1"),
    # DINOv2's own files differ from timm's in these.
    Rule(r"register_tokens", "reg_token"),
    Rule(r"(blocks\.\d+\.mlp)\.w12\.(\w+)", r"\1.fc1.\2"),
    Rule(r"(blocks\.\d+\.mlp)\.w3\.(\w+)", r"\1.fc2.\2"),
)
DROPPED = {r"mask_token": "the token of masked patches, used only in pretraining"}

# Attention heads by width; where widths have several, the name decides.
HEADS = {
    64: 2,
    96: 3,
    192: 3,
    256: 4,
    320: 5,
    384: 6,
    512: 8,
    640: 10,
    768: 12,
    832: 13,
    896: 14,
    1024: 16,
    1152: 16,
    1280: 16,
    1408: 16,
    1536: 24,
    1664: 16,
}
OTHER_HEADS = {r"vit_giantopt_\w+": 16}
GELU_TANH = r"vit_(base_patch32|giantopt_patch16|so400m_patch16)_siglip\w*|vit_large_patch16_siglip(_gap)?_512"
NORMS_LAST = r"vit_\w+_rpn_\w+"  # norms after attention and MLP, under the names of norms before them


def heads_of(architecture: str, embed_dim: int) -> int | None:
    """The attention heads of an architecture of timm such as vit_small_patch14_dinov2; None if they are not known."""
    if not re.match(r"(vit|deit3?|flexivit|eva)_", architecture) or re.fullmatch(NORMS_LAST, architecture):
        return None
    named = (heads for pattern, heads in OTHER_HEADS.items() if re.fullmatch(pattern, architecture))
    return next(named, HEADS.get(embed_dim))


def norm_eps_of(architecture: str) -> float:
    """The epsilon of its norms."""
    return 1e-5 if "_clip_" in architecture else 1e-6


def act_layer_of(architecture: str) -> str:
    """The activation of its MLPs."""
    if "_quickgelu_" in architecture:
        return "quick_gelu"
    return "gelu_tanh" if re.fullmatch(GELU_TANH, architecture) else "gelu"
