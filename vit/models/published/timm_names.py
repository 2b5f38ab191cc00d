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

HEADS = {
    "xsmall": 4,
    "tiny": 3,
    "small": 6,
    "medium": 8,
    "mediumd": 8,
    "betwixt": 10,
    "base": 12,
    "large": 16,
    "so150m": 14,
    "so150m2": 13,
    "so400m": 16,
    "huge": 16,
    "giant": 16,
    "giantopt": 16,
    "gigantic": 16,
    "intern300m": 16,
    "little": 5,
    "wee": 4,
}
GIANT_OF_DINOV2 = (1536, 24)  # width and heads
GELU_TANH = r"vit_(base_patch32|giantopt_patch16|so400m_patch16)_siglip\w*|vit_large_patch16_siglip(_gap)?_512"
NOT_PLAIN = r"vit_\w+_(rpn|xp|18x2|siglip_gap|gap|reg4_gap|radio_v\d)\w*|beit3\w*|aimv2\w*"


def heads_of(architecture: str, embed_dim: int) -> int | None:
    """The attention heads of an architecture of timm such as vit_small_patch14_dinov2; None if it is not known."""
    match = re.match(r"(?:vit|deit3?|flexivit|eva)_([a-z0-9]+)", architecture)
    size = match[1] if match else ""
    if size == "giant" and embed_dim == GIANT_OF_DINOV2[0]:
        return GIANT_OF_DINOV2[1]
    return HEADS.get(size)


def settings_of(architecture: str) -> dict[str, object]:
    """The settings of section model that differ from their defaults for an architecture and show in no shape."""
    found: dict[str, object] = {}
    if "_clip_" in architecture:
        found["norm_eps"] = 1e-5
    if "_quickgelu_" in architecture:
        found["act_layer"] = "quick_gelu"
    if re.fullmatch(GELU_TANH, architecture):
        found["act_layer"] = "gelu_tanh"
    return found
