"""The text tower of a CLIP, SigLIP or SigLIP 2 pair, by transformers: texts to unit vectors.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 3.1; Zhai et al.
2023, "Sigmoid Loss for Language Image Pre-Training".
"""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.config.files import CONFIG, WEIGHTS
from vit.errors import UserError, one_line
from vit.models.published.foreign import json_object

log = logging.getLogger("vit")

LIBRARY = "pip install --requirement requirements-text.txt --constraint constraints.txt"
CLIP, SIGLIP = "clip", ("siglip", "siglip2")  # model_type of a pair
TOWERS = {"clip": "CLIPTextModelWithProjection", "siglip": "SiglipTextModel", "siglip2": "Siglip2TextModel"}
# What its tokenizer may need, beside config.json and the weights.
VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")
TOKENIZER = (*VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def require_pair(settings: Mapping[str, Any], called: str) -> str:
    """The model_type of a pair of image and text tower. Raises UserError beginning with `called` if it is none."""
    kind = settings.get("model_type")
    if kind not in TOWERS:
        what = f"model_type '{kind}'" if kind else "no model_type"
        raise UserError(
            f"{called} has no text tower that is known here: its {CONFIG} has {what} instead of one of "
            f"{', '.join(TOWERS)}; use a repository of transformers that holds both towers"
        )
    return kind


def require_transformers(called: str) -> None:
    """Raises UserError beginning with `called` if the extra `text` is not installed."""
    if find_spec("transformers") is None:
        raise UserError(f"{called} needs the library transformers, which is not installed: {LIBRARY}")


def embed_texts(folder: Path, texts: list[list[str]], called: str) -> Tensor:
    """Unit vectors (K, P) of K lists of texts: each text's embedding has length 1, and so has their mean.

    `folder` holds transformers' files of the pair. Raises UserError beginning with `called` if they are incomplete;
    no code in them is run.
    """
    config = json_object(folder / CONFIG, called)
    kind = require_pair(config, called)
    tokenize, tower = _loaded(folder, kind, called)
    try:
        tokens = [tokenize(of_class) for of_class in texts]
    except Exception as error:
        raise UserError(f"{called}: its tokenizer does not work ({_reason(error)}); use another repository") from error
    _require_sense(tokens, texts, tower.config.vocab_size, called)
    embedded = []
    with torch.no_grad():
        for of_class in tokens:
            vectors = tower(**of_class)
            vectors = vectors.text_embeds if kind == CLIP else vectors.pooler_output
            embedded.append(F.normalize(F.normalize(vectors.float(), dim=-1).mean(dim=0), dim=-1))
    found = torch.stack(embedded)
    if not found.isfinite().all():
        raise UserError(f"{called}: its text tower makes NaN or infinite values of the class names; use other weights")
    return found


def _loaded(folder: Path, kind: str, called: str) -> tuple:
    """A function from texts to the tower's input, and the tower itself in float32."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise UserError(f"{called} has no tokenizer, such as {VOCABULARIES[0]}; use another repository")
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, **local)
    except Exception as error:  # of the files of others, anything
        raise UserError(
            f"{called}: its tokenizer cannot be loaded ({_reason(error)}); use another repository"
        ) from error
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        text = config.text_config
        if kind == CLIP:
            text.projection_dim = config.projection_dim
        tower, how = getattr(transformers, TOWERS[kind]).from_pretrained(
            folder, config=text, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **local
        )
    except Exception as error:
        raise UserError(
            f"{called}: its text tower cannot be loaded from {WEIGHTS} ({_reason(error)}); use another repository"
        ) from error
    if missing := sorted([*how["missing_keys"], *how["mismatched_keys"]], key=str):
        raise UserError(
            f"{called}: its text tower lacks {len(missing)} tensors, such as {missing[0]}; use another repository"
        )
    tower.eval()
    longest = tower.config.max_position_embeddings

    def tokenize(texts: list[str]) -> dict[str, Tensor]:
        # SigLIP learned from lower-case texts of full length, without a mask.
        texts = [text.lower() for text in texts] if kind in SIGLIP else texts
        padding = {"padding": "max_length" if kind in SIGLIP else True, "max_length": longest, "truncation": True}
        held = tokenizer(texts, return_tensors="pt", **padding)
        if cut := [text for text in texts if len(tokenizer(text)["input_ids"]) > longest]:
            log.warning(f"{called}: longer than the {longest} tokens of its text tower, and cut: '{cut[0]}'")
        return {name: held[name] for name in ("input_ids", *(() if kind in SIGLIP else ("attention_mask",)))}

    return tokenize, tower


def _require_sense(tokens: list[dict[str, Tensor]], texts: list[list[str]], vocabulary: int, called: str) -> None:
    """Raises UserError unless the tower has all tokens, and the tokenizer tells the classes apart."""
    highest = max(int(one["input_ids"].max()) for one in tokens)
    if highest >= vocabulary:
        raise UserError(
            f"{called}: its tokenizer uses token {highest}, but its text tower knows {vocabulary}; use other weights"
        )
    seen: dict[bytes, str] = {}
    for one, (text, *_) in zip(tokens, texts, strict=True):
        same = seen.setdefault(one["input_ids"].numpy().tobytes(), text)
        if same != text:
            raise UserError(
                f"{called}: its tokenizer makes the same tokens of '{same}' and '{text}'; rename a class, or use other "
                "weights"
            )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)[:200]}"
