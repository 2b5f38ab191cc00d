"""Tiny pairs of image and text tower with random weights, as transformers writes them, and a small tokenizer."""

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SIDE, PATCH, LENGTH = 16, 4, 40  # pixels, pixels, tokens
WORDS = ("a", "photo", "of", ".", "drawing", "cat", "black", "dog", "café", "horizontal", "vertical", "bars")
WORDS += ("checkerboard", "diagonal", "gradient", "the", "red", "green", "blue")
IMAGES = {"size": {"height": SIDE, "width": SIDE}, "do_normalize": True, "image_mean": [0.5] * 3, "resample": 3}
IMAGES |= {"image_std": [0.25] * 3, "rescale_factor": 1 / 255, "image_processor_type": "SiglipImageProcessor"}
SPECIAL = {"<pad>": 0, "<unk>": 1, "<s>": 2, "</s>": 3}
LETTERS = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyzé.&"]  # of SigLIP 2's kind
BETWEEN = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48}


def write_pair(kind: str, folder: Path) -> transformers.PreTrainedModel:
    """Write a pair of `kind`, CLIP, Siglip or Siglip2, and return it."""
    vocabulary = (
        dict(zip(LETTERS, range(99), strict=False))
        if kind == "Siglip2"
        else SPECIAL | {word: number for number, word in enumerate(WORDS, len(SPECIAL))}
    )
    image = BETWEEN | {"image_size": SIDE, "patch_size": PATCH}
    if kind == "Siglip2":
        image |= {"num_patches": (SIDE // PATCH) ** 2}
    text = BETWEEN | {"vocab_size": len(vocabulary), "max_position_embeddings": LENGTH, "pad_token_id": 0}
    text |= {"bos_token_id": 2, "eos_token_id": 3} | ({} if kind == "CLIP" else {"projection_size": 24})
    both = {"projection_dim": 10} if kind == "CLIP" else {}
    config = getattr(transformers, f"{kind}Config")(vision_config=image, text_config=text, **both)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.startswith("logit"):
                is_scale = weight.ndim == 1 and "norm" in name and name.endswith("weight")
                weight.copy_(is_scale + 0.3 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(folder)
    if kind == "Siglip2":
        transformers.Siglip2Tokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    else:
        write_tokenizer(folder, vocabulary)
    (folder / "preprocessor_config.json").write_text(json.dumps(IMAGES))
    return model


def write_tokenizer(folder: Path, vocabulary: dict[str, int]) -> None:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(name, SPECIAL[name]) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    named = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
