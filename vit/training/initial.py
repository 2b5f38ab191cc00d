"""Initial weights from another model with timm's parameter names, adapted to this model's shapes.

Follows timm's `checkpoint_filter_fn` and `resample_abs_pos_embed`: position embeddings are resampled, input channels
summed.
"""

import math
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from vit.config.files import CONFIG, WEIGHTS
from vit.errors import UserError
from vit.files import read_json
from vit.inference.classifier import Classifier

Weights = dict[str, Tensor]
TOKENS = ("cls_token", "dist_token")  # before the patch tokens, in this order
HEADS = ("head", "head_dist")
UNSEEN = ("name", "stem", "num_heads", "pos_embed", "norm")  # settings that do not show in the weights' shapes
SHOWN = 6  # most names listed in an error


def initialize(classifier: Classifier, folder: Path) -> list[str]:
    """Load the weights in `folder`, written by stage weights, into a new model; does nothing if there are none.

    Position embeddings are resampled to the model's grid, class token and norm follow its pooling, three input channels
    are summed into one, and the head stays new unless its classes are known to be the same in the same order. Returns
    the changes as text. Raises UserError if weights are then missing, left over or of a different shape.
    """
    if not (folder / WEIGHTS).is_file():
        return []
    weights = safetensors.torch.load_file(folder / WEIGHTS)
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
    model = classifier.model
    own = {name: weight.cpu() for name, weight in model.state_dict().items()}
    if config is not None:
        _require_same_settings(config["model"], classifier.config["model"])
    said = _fit_channels(weights, own)
    if "pos_embed" in weights and "pos_embed" in own:
        said += _fit_positions(weights, own, None if config is None else _grid(config), _grid(classifier.config))
    said += _fit_tokens(weights, own)
    said += _fit_norm(weights, own)
    said += _fit_head(weights, own, config["classes"] if config else None, classifier.classes)
    _require_fit(weights, own, classifier.config["model"])
    model.load_state_dict(weights)
    return said


def resample_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Position embeddings (H * W, D) of a grid `old` = (H, W) on the grid `new`: bicubic and antialiased, as timm's."""
    if old == new:
        return positions
    grid = positions.float().reshape(1, *old, -1).permute(0, 3, 1, 2)  # (1, D, H, W)
    grid = F.interpolate(grid, size=new, mode="bicubic", antialias=True)
    return grid.flatten(2)[0].T.to(positions.dtype)


def _grid(config: dict) -> tuple[int, int]:
    height, width = config["image_size"]
    return height // config["model"]["patch_size"], width // config["model"]["patch_size"]


def _fit_positions(weights: Weights, own: Weights, old: tuple[int, int] | None, new: tuple[int, int]) -> list[str]:
    """Copy the rows of tokens by name and resample those of patches; missing rows of tokens become 0."""
    held, wanted = weights["pos_embed"][0], own["pos_embed"][0]
    if held.shape[1] != wanted.shape[1]:
        return []  # reported later as a wrong shape
    tokens = [name for name in TOKENS if name in weights]
    known = old or next((grid for count in (len(tokens), 0) if (grid := _square(len(held) - count))), (0, 0))
    patches = known[0] * known[1]
    if len(held) - patches not in (0, len(tokens)):
        where = f"the grid of its {CONFIG}, {old[0]}x{old[1]}" if old else "a square grid"
        raise UserError(f"train.init_from: its {len(held)} position embeddings do not form {where}; use other weights")
    has_rows = len(held) > patches
    rows = {name: held[index] if has_rows else torch.zeros_like(held[0]) for index, name in enumerate(tokens)}
    rows = {name: wanted[index] for index, name in enumerate(name for name in TOKENS if name in own)} | rows
    prefix = [rows[name] for name in TOKENS if name in own]
    resampled = resample_positions(held[len(held) - patches :], known, new)
    weights["pos_embed"] = torch.cat([*(row[None] for row in prefix), resampled])[None]
    if known == new:
        return []
    return [f"position embeddings resampled from {known[0]}x{known[1]} to {new[0]}x{new[1]} patches"]


def _square(count: int) -> tuple[int, int] | None:
    side = math.isqrt(max(count, 0))
    return (side, side) if side and side * side == count else None


def _fit_tokens(weights: Weights, own: Weights) -> list[str]:
    dropped = [name for name in TOKENS if name in weights and name not in own]
    new = [name for name in TOKENS if name in own and name not in weights]
    for name in dropped:
        del weights[name]
    weights |= {name: own[name] for name in new}
    return [f"{name} left out" for name in dropped] + [f"{name} new" for name in new]


def _fit_norm(weights: Weights, own: Weights) -> list[str]:
    """Rename the last norm, which comes before pooling by class token, but after average pooling."""
    for theirs, ours in (("norm.", "fc_norm."), ("fc_norm.", "norm.")):
        if f"{ours}weight" in own and f"{ours}weight" not in weights:
            moved = [name for name in weights if name.startswith(theirs)]
            for name in moved:
                weights[ours + name.removeprefix(theirs)] = weights.pop(name)
            return [f"{theirs[:-1]} used as {ours[:-1]}"] if moved else []
    return []


def _fit_channels(weights: Weights, own: Weights) -> list[str]:
    for name, weight in weights.items():
        if name in own and weight.ndim == 4 and weight.shape[1] == 3 and own[name].shape[1] == 1:
            weights[name] = weight.float().sum(dim=1, keepdim=True)
            return [f"three channels summed into one in {name}"]
    return []


def _fit_head(weights: Weights, own: Weights, theirs: list[str] | None, classes: list[str]) -> list[str]:
    is_kept = theirs == classes
    for name in [name for name in weights if name.split(".")[0] in HEADS]:
        if not is_kept or name not in own:
            del weights[name]
    new = {name: weight for name, weight in own.items() if name.split(".")[0] in HEADS and name not in weights}
    weights |= new
    if is_kept and "head.weight" not in new:
        return ["head kept, because its classes are the same"]
    are = "unknown" if theirs is None else "different or in a different order"
    return [f"new head for {len(classes)} classes, because the classes of the weights are {are}"]


def _require_same_settings(theirs: dict, ours: dict) -> None:
    if differing := [f"model.{name}: {theirs[name]}" for name in UNSEEN if theirs.get(name, ours[name]) != ours[name]]:
        raise UserError(f"train.init_from: the weights belong to a different model; set {', '.join(differing)}")


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
        geometry = _geometry(weights)
        to_set = [f"model.{name}: {value}" for name, value in geometry.items() if settings[name] != value]
        way_out = f"set {', '.join(to_set)}" if to_set else "set section model to the parameters of the weights"
        raise UserError(f"train.init_from does not fit the model: {listed}; {way_out}, or use other weights")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _geometry(weights: Weights) -> dict[str, object]:
    """Model parameters that can be read from the shapes and names of a Vision Transformer's weights."""
    found: dict[str, object] = {}
    patches = weights.get("patch_embed.proj.weight")
    if patches is not None and patches.ndim == 4 and patches.shape[1] in (1, 3):
        found |= {"patch_size": patches.shape[-1], "embed_dim": patches.shape[0]}
    if depth := len({name.split(".")[1] for name in weights if name.startswith("blocks.")}):
        found["depth"] = depth
    if "blocks.0.attn.qkv.weight" in weights:
        found["qkv_bias"] = "blocks.0.attn.qkv.bias" in weights
    if "blocks.0.mlp.fc1.weight" in weights:
        hidden, width = weights["blocks.0.mlp.fc1.weight"].shape
        found["mlp_ratio"] = hidden / width
    if "pos_embed" in weights:
        found["pos_embed"] = "learned"
    return found
