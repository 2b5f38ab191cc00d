"""From the name of a CLIP or SigLIP pair to what classifies by its texts; torch and transformers are imported late."""

import hashlib
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from vit.config.files import CONFIG, WEIGHTS
from vit.errors import UserError
from vit.models.published.foreign import json_object
from vit.models.published.reading import TensorFile
from vit.training import hub_weights
from vit.training.prompts import prompts
from vit.training.published_images import PROCESSOR, images_of
from vit.training.translated import write_translated

if TYPE_CHECKING:
    from vit.training.zero_shot import ZeroShot

log = logging.getLogger("vit")

LOGIT_SCALE = "logit_scale"  # the logarithm of what cosines are multiplied by


@dataclass(frozen=True)
class Pair:
    """The files of an image and a text tower of transformers: `folder` holds all, `weights` is one file or shards."""

    folder: Path
    weights: list[Path]
    called: str

    @property
    def scale(self) -> float:
        """What the pair multiplies cosines by. Raises UserError if its weights do not say."""
        for file in map(TensorFile, self.weights):
            if LOGIT_SCALE in file and math.prod(file.shapes[LOGIT_SCALE]) == 1:
                scale = math.exp(min(float(file[LOGIT_SCALE].reshape(-1)[0]), 100.0))
                if math.isfinite(scale):
                    return scale
        raise UserError(f"{self.called} has no {LOGIT_SCALE}, so it is not a pair of an image and a text tower")


def find_pair(named: str, parameter: str) -> Pair:
    """The pair on the hub, or in a folder, that `parameter` names, with its tokenizer; downloads what is missing.

    Raises UserError if it is none.
    """
    from vit.training.text_tower import TOKENIZER, require_pair, require_transformers

    called = f"{parameter} '{named}'"
    require_transformers(called)
    if named.startswith(hub_weights.PREFIX):
        model = hub_weights.find_model(named, parameter)
        if model.digests is not None:  # else nothing is known but what the cache holds
            require_pair(model.settings.get(CONFIG, {}), called)
        weights = model.weights
        if weights[0].suffix != ".safetensors":
            raise UserError(f"{called} has no {WEIGHTS}, which its text tower is read from; use another repository")
        for name in TOKENIZER:
            model.file(name)
        return Pair(weights[0].parent, weights, called)
    folder = Path(named)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise UserError(
            f"{called} is not a folder with {CONFIG} and {WEIGHTS} of a CLIP or SigLIP pair; name one, or "
            f"{hub_weights.PREFIX}OWNER/NAME@COMMIT"
        )
    require_pair(json_object(folder / CONFIG, called), called)
    return Pair(folder, [folder / WEIGHTS], called)


def zero_shot(named: str, parameter: str, classes: list[str], templates: list[str]) -> "ZeroShot":
    """A classifier of `classes` made of the pair that `parameter` names and of no training, with its own logits.

    Raises UserError if it is not a pair, or does not say how its images are made.
    """
    texts = prompts(classes, templates, "--classes")
    pair = find_pair(named, parameter)
    files = [file for name in (CONFIG, PROCESSOR) if (file := pair.folder / name).is_file()]
    settings = {file.name: json_object(file, pair.called) for file in files}
    if images_of(settings, pair.called) is None:
        raise UserError(f"{pair.called} has no {PROCESSOR}, which says how images are normalized; use other weights")
    import torch

    from vit.training.text_tower import embed_texts
    from vit.training.zero_shot import ZeroShot, image_tower

    embedded = embed_texts(pair.folder, texts, pair.called)
    with TemporaryDirectory() as folder:
        write_translated(pair.weights, settings, Path(folder), pair.called)
        tower = image_tower(Path(folder), torch.device("cpu"))
    return ZeroShot(tower.model, tower.config | {"classes": classes}, tower.device, embedded, pair.scale)


def fill_head(target: Path, named: str, classes: list[str], templates: list[str]) -> dict:
    """Give the weights that stage weights wrote to `target` a head of the pair's texts; returns what to record of it.

    `named` is train.init_from. Raises UserError if it is not a pair.
    """
    parameter = "train.init_head text: train.init_from"
    texts = prompts(classes, templates, "train.init_head text")
    pair = find_pair(named, parameter)
    from vit.training.text_tower import embed_texts
    from vit.training.zero_shot import write_text_head

    length = write_text_head(target, embed_texts(pair.folder, texts, pair.called), pair.scale, classes)
    log.info(
        f"head: {len(classes)} classes from texts such as '{texts[0][0]}'; rows are scaled by {pair.scale:.4g}, the "
        f"pair's own scale, over {length:.4g}, the mean length of image embeddings"
    )
    return {
        "head": "text",
        "head_templates": templates,
        "head_prompts_sha256": hashlib.sha256(json.dumps(texts).encode()).hexdigest(),
    }
