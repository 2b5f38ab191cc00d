"""The names that transformers gives to the tensors of Vision Transformers, in files on the hub.

Its modules have other names since version 5, but files are still written with these.
"""

from dataclasses import replace

from vit.models.published.renaming import Rule

_QKV = tuple(
    Rule(rf"encoder\.layer\.(\d+)\.attention\.attention\.{name}\.(\w+)", r"blocks.\1.attn.qkv.\2", part)
    for part, name in enumerate(("query", "key", "value"))
)
# ViT, DeiT, ViTMAE, DINO, DINOv2
BERT_LIKE = (
    Rule(r"embeddings\.cls_token", "cls_token"),
    Rule(r"embeddings\.distillation_token", "dist_token"),
    Rule(r"embeddings\.register_tokens", "reg_token"),
    Rule(r"embeddings\.position_embeddings", "pos_embed"),
    Rule(r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
    *_QKV,
    Rule(r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"blocks.\1.attn.proj.\2"),
    Rule(r"encoder\.layer\.(\d+)\.layernorm_before\.(\w+)", r"blocks.\1.norm1.\2"),
    Rule(r"encoder\.layer\.(\d+)\.layernorm_after\.(\w+)", r"blocks.\1.norm2.\2"),
    Rule(r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
    Rule(r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
    Rule(r"encoder\.layer\.(\d+)\.(norm[12])\.(\w+)", r"blocks.\1.\2.\3"),
    Rule(r"encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    Rule(r"encoder\.layer\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"blocks.\1.mlp.\2.\3"),
    Rule(r"encoder\.layer\.(\d+)\.mlp\.weights_in\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
    Rule(r"encoder\.layer\.(\d+)\.mlp\.weights_out\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
    Rule(r"layernorm\.(\w+)", r"norm.\1"),
)
# CLIP, SigLIP, SigLIP 2
CLIP_LIKE = (
    Rule(r"embeddings\.class_embedding", "cls_token"),
    Rule(r"embeddings\.position_embedding\.weight", "pos_embed"),
    Rule(r"embeddings\.patch_embedding\.(\w+)", r"patch_embed.proj.\1"),
    Rule(r"pre_layrnorm\.(\w+)", r"norm_pre.\1"),  # as it is spelled there
    *(
        Rule(rf"encoder\.layers\.(\d+)\.self_attn\.{name}_proj\.(\w+)", r"blocks.\1.attn.qkv.\2", part)
        for part, name in enumerate("qkv")
    ),
    Rule(r"encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)", r"blocks.\1.attn.proj.\2"),
    Rule(r"encoder\.layers\.(\d+)\.layer_norm([12])\.(\w+)", r"blocks.\1.norm\2.\3"),
    Rule(r"encoder\.layers\.(\d+)\.mlp\.(fc[12])\.(\w+)", r"blocks.\1.mlp.\2.\3"),
    Rule(r"post_layernorm\.(\w+)", r"norm.\1"),
    Rule(r"head\.probe", "attn_pool.latent"),
    Rule(r"head\.attention\.in_proj_(\w+)", r"attn_pool.q.\1", rows=(0, 1 / 3)),
    Rule(r"head\.attention\.in_proj_(\w+)", r"attn_pool.kv.\1", rows=(1 / 3, 1)),
    Rule(r"head\.attention\.out_proj\.(\w+)", r"attn_pool.proj.\1"),
    Rule(r"head\.layernorm\.(\w+)", r"attn_pool.norm.\1"),
    Rule(r"head\.mlp\.(fc[12])\.(\w+)", r"attn_pool.mlp.\1.\2"),
)
HEADS = (
    Rule(r"(?:cls_)?classifier\.(\w+)", r"head.\1"),
    Rule(r"distillation_classifier\.(\w+)", r"head_dist.\1"),
    Rule(r"visual_projection\.weight", "head.weight"),
)
# What comes before all names but those of heads, where the model is part of another.
PREFIX = r"(?:(?:dinov2_with_registers|vision_model|dinov2|deit|vit)\.)?"
RULES = (*(replace(rule, theirs=PREFIX + rule.theirs) for rule in (*BERT_LIKE, *CLIP_LIKE)), *HEADS)
DROPPED = {
    r"text_model\..*|text_projection\..*|logit_(scale|bias)": "the text tower",
    r"decoder\..*": "the decoder of masked autoencoding",
    r"(.*\.)?embeddings\.mask_token": "the token of masked patches, used only in pretraining",
    r"(.*\.)?pooler\..*": "the pooler, which classifiers do not use",
    r".*position_ids": "numbers 0 to N - 1",
}
