"""Initial weights from another model with timm's parameter names, adapted to this model's shapes.

Follows timm's `checkpoint_filter_fn` and `resample_abs_pos_embed`: position embeddings are resampled, input channels
summed. Weights of a published model are resampled as their original does it.
"""

from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.config.files import CONFIG, WEIGHTS
from vit.config.model import ModelParams
from vit.errors import UserError
from vit.files import read_json
from vit.inference.classifier import Classifier
from vit.models.families import architecture_of
from vit.models.published.geometry import geometry, square

Weights = dict[str, Tensor]
TOKENS = ("cls_token", "dist_token", "reg_token")  # before the patch tokens, in this order
HEADS = ("head", "head_dist")
MADE_OF, TEXT = "head", "text"  # in config.json beside the weights, if vit/training/zero_shot.py made their head
RESAMPLING = {"mode": "bicubic", "antialias": True}  # timm's
ADAPTED = ("pool", "no_embed_class")  # settings in which weights and model may differ
UNUSED = ("stem_widths", "drop_rate", "attn_drop_rate", "drop_path_rate")  # settings that weights do not depend on
SHOWN = 6  # most names listed in an error


def start_of(pretrained: Path, init: Path) -> Path:
    """The folder of the weights to start from: those of stage pretrain, which began with those of `init`, or `init`."""
    return pretrained if (pretrained / WEIGHTS).is_file() else init


def initialize(classifier: Classifier, folder: Path) -> list[str]:
    """Load the weights in `folder`, written by stage weights, into a new model; does nothing if there are none.

    Position embeddings are resampled to the model's grid, class token, norm and attention pooling follow its pooling,
    three input channels are summed into one, and the head stays new unless its classes are known to be the same in the
    same order. Returns the changes as text. Raises UserError if weights are then missing, left over or of a different
    shape.
    """
    if not (folder / WEIGHTS).is_file():
        return []
    weights = safetensors.torch.load_file(folder / WEIGHTS)
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
    is_text = (config or {}).get(MADE_OF) == TEXT
    model = classifier.model
    own = {name: weight.cpu() for name, weight in model.state_dict().items()}
    if config is not None:
        _require_same_settings(config["model"], classifier.config["model"], is_text)
    said = _fit_channels(weights, own)
    if "pos_embed" in weights and "pos_embed" in own:
        said += _fit_positions(weights, own, config, classifier.config)
    said += _fit_tokens(weights, own)
    said += _fit_pooling(weights, own)
    said += _fit_head(weights, own, heads_of(model), config["classes"] if config else None, classifier.classes)
    if is_text:
        said[-1] = "head made of the class names, for zero-shot"
    _require_fit(weights, own, classifier.config["model"])
    model.load_state_dict(weights)
    return said + _remark_on_images(config or {}, classifier.config)


def _remark_on_images(theirs: dict, ours: dict) -> list[str]:
    """What to set if images are normalized otherwise than those that published weights were trained on."""
    is_published = "positions" in theirs and "mean" in theirs
    if not is_published or all(theirs[name] == ours[name] for name in ("mean", "std")):
        return []
    return [f"the weights were trained on other values: set pack.mean={theirs['mean']} and pack.std={theirs['std']}"]


def resample_positions(
    positions: Tensor, old: tuple[int, int], new: tuple[int, int], mode: str = "bicubic", antialias: bool = True
) -> Tensor:
    """Position embeddings (H * W, D) of a grid `old` = (H, W) on the grid `new`, by default as timm does it."""
    if old == new:
        return positions
    grid = positions.float().reshape(1, *old, -1).permute(0, 3, 1, 2)  # (1, D, H, W)
    grid = F.interpolate(grid, size=new, mode=mode, antialias=antialias)
    return grid.flatten(2)[0].T.to(positions.dtype)


def _grid(config: dict) -> tuple[int, int]:
    height, width = config["image_size"]
    return height // config["model"]["patch_size"], width // config["model"]["patch_size"]


def _fit_positions(weights: Weights, own: Weights, config: dict | None, ours: dict) -> list[str]:
    """Copy the rows of tokens by name and resample those of patches; missing rows of tokens become 0.

    Where our tokens have no rows, theirs are added to the tokens, which gives the same sums.
    """
    held, wanted = weights["pos_embed"][0], own["pos_embed"][0]
    if held.shape[1] != wanted.shape[1]:
        return []  # reported later as a wrong shape
    new, tokens, known = _grid(ours), _rows_of_tokens(weights), None if config is None else _grid(config)
    old = known or next((grid for count in (len(tokens), 0) if (grid := square(len(held) - count))), (0, 0))
    patches = old[0] * old[1]
    if len(held) - patches not in (0, len(tokens)):
        where = f"the grid of its {CONFIG}, {old[0]}x{old[1]}" if known else "a square grid"
        raise UserError(f"train.init_from: its {len(held)} position embeddings do not form {where}; use other weights")
    given = held[: len(held) - patches] if len(held) > patches else torch.zeros(len(tokens), held.shape[1])
    rows = dict(zip(tokens, given, strict=True))
    needed = _rows_of_tokens(own) if len(wanted) > new[0] * new[1] else []
    rows = dict(zip(needed, wanted, strict=False)) | rows
    if not needed:
        for name in TOKENS:
            if name in weights:
                weights[name] = weights[name] + torch.stack([rows[key] for key in tokens if key[0] == name])
    settings = (config or {}).get("positions", RESAMPLING)
    resampled = resample_positions(held[len(held) - patches :], old, new, **settings)
    weights["pos_embed"] = torch.cat([*(rows[key][None] for key in needed), resampled])[None]
    if old == new:
        return []
    return [f"position embeddings resampled from {old[0]}x{old[1]} to {new[0]}x{new[1]} patches"]


def _rows_of_tokens(weights: Weights) -> list[tuple[str, int]]:
    return [(name, row) for name in TOKENS if name in weights for row in range(weights[name].shape[1])]


def _fit_tokens(weights: Weights, own: Weights) -> list[str]:
    """Class and distillation token may come and go; a model without its registers would be another one."""
    dropped = [name for name in TOKENS[:2] if name in weights and name not in own]
    new = [name for name in TOKENS[:2] if name in own and name not in weights]
    for name in dropped:
        del weights[name]
    weights |= {name: own[name] for name in new}
    return [f"{name} left out" for name in dropped] + [f"{name} new" for name in new]


def _fit_pooling(weights: Weights, own: Weights) -> list[str]:
    """Rename the last norm, which comes before pooling by token or attention, but after average pooling."""
    said = []
    for theirs, ours in (("norm.", "fc_norm."), ("fc_norm.", "norm.")):
        if f"{ours}weight" in own and f"{ours}weight" not in weights:
            moved = [name for name in weights if name.startswith(theirs)]
            for name in moved:
                weights[ours + name.removeprefix(theirs)] = weights.pop(name)
            said += [f"{theirs[:-1]} used as {ours[:-1]}"] if moved else []
    pooling = {name: weight for name, weight in own.items() if name.startswith("attn_pool.")}
    if pooling and "attn_pool.latent" not in weights:
        weights |= pooling
        said.append("attention pooling new")
    if not pooling and (unused := [name for name in weights if name.startswith("attn_pool.")]):
        for name in unused:
            del weights[name]
        said.append("attention pooling left out")
    return said


def _fit_channels(weights: Weights, own: Weights) -> list[str]:
    for name, weight in weights.items():
        if name in own and weight.ndim == 4 and weight.shape[1] == 3 and own[name].shape[1] == 1:
            weights[name] = weight.float().sum(dim=1, keepdim=True)
            return [f"three channels summed into one in {name}"]
    return []


def heads_of(model: nn.Module) -> tuple[str, ...]:
    """The layers that give the logits, by name: timm's names, or the last layer of a model of torchvision."""
    if architecture_of(model).kind is not None:
        return HEADS
    return ([name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1],)


def _fit_head(
    weights: Weights, own: Weights, heads: tuple[str, ...], theirs: list[str] | None, classes: list[str]
) -> list[str]:
    """Keep the head for equal classes only; auxiliary heads of torchvision's models are left out like their models'."""
    is_kept = theirs == classes
    layers = {name: name.rpartition(".")[0] for name in [*weights, *own]}
    for name in list(weights):
        is_auxiliary = name.lower().startswith("aux") and name not in own
        if is_auxiliary or (layers[name] in heads and (not is_kept or name not in own)):
            del weights[name]
    new = {name: weight for name, weight in own.items() if layers[name] in heads and name not in weights}
    weights |= new
    if is_kept and f"{heads[0]}.weight" not in new:
        return ["head kept, because its classes are the same"]
    are = "unknown" if theirs is None else "different or in a different order"
    if theirs == []:
        return [f"new head for {len(classes)} classes, because pretraining learned none"]
    return [f"new head for {len(classes)} classes, because the classes of the weights are {are}"]


def _require_same_settings(theirs: dict, ours: dict, is_text: bool) -> None:
    """With a head of text, which reads features pooled as the pair pools them, the pooling too."""
    theirs = ModelParams().model_dump() | theirs
    may_differ = ("distilled", *UNUSED, *(name for name in ADAPTED if not (is_text and name == "pool")))
    differing = [
        f"model.{name}: {theirs[name]}" for name in ours if name not in may_differ and _differs(name, theirs, ours)
    ]
    if differing:
        raise UserError(f"train.init_from: the weights belong to a different model; set {', '.join(differing)}")


def _differs(name: str, theirs: dict, ours: dict) -> bool:
    if name == "mlp_ratio":
        return int(theirs["embed_dim"] * theirs[name]) != int(theirs["embed_dim"] * ours[name])
    if name == "init_values":
        return (theirs[name] is None) is not (ours[name] is None)
    return theirs[name] != ours[name]


def _require_fit(weights: Weights, own: Weights, settings: dict) -> None:
    problems = {
        "missing": [name for name in own if name not in weights],
        "left over": [name for name in weights if name not in own],
        "wrong shape": [
            f"{name} {list(weights[name].shape)}, not {list(own[name].shape)}"
            for name in own
            if name in weights and weights[name].shape != own[name].shape
        ],
    }
    if any(problems.values()):
        listed = "; ".join(f"{what}: {_few(names)}" for what, names in problems.items() if names)
        shown = geometry({name: tuple(weight.shape) for name, weight in weights.items()})
        to_set = [
            f"model.{name}: {value}"
            for name, value in ({"init_values": None} | shown).items()
            if name not in ADAPTED and _differs(name, ModelParams().model_dump() | shown, settings)
        ]
        way_out = f"set {', '.join(to_set)}" if to_set else "set section model to the parameters of the weights"
        raise UserError(f"train.init_from does not fit the model: {listed}; {way_out}, or use other weights")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
