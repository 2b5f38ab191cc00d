"""One image step by step through a model: what each step computes, its shape, its numbers and its cost.

On the device "meta" the steps have shapes and costs only, so that a model without weights can be walked too.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from vit.config.model import ModelParams
from vit.data.batches import normalize, to_unit
from vit.inference.classifier import Classifier
from vit.inference.summary import count, without_memory
from vit.models.families import architecture_of, has_attention
from vit.models.vision_transformer import Attention, PatchEmbed, VisionTransformer

TOKENS = {"cls_token": "class", "dist_token": "distillation", "reg_token": "register"}
Model = TypeVar("Model", bound=nn.Module)
VIT_B16 = ModelParams(name="vit", patch_size=16, embed_dim=768, depth=12, num_heads=12, mlp_ratio=4.0)


@dataclass(frozen=True)
class Step:
    """A step for one image: `values` of `shape`, what they are in a sentence, and the multiply-adds up to them from
    the step before."""

    name: str
    meaning: str
    values: Tensor
    multiply_adds: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    @property
    def has_numbers(self) -> bool:
        return not self.values.is_meta


def walk(classifier: Classifier, image: Tensor | None = None) -> list[Step]:
    """The steps from an image uint8 (H, W, C) of image_size to the logits, in order; without one, shapes and costs.

    The last step's values (classes,) are the model's logits, from the same forward pass.
    """
    config = classifier.config
    if image is None:
        classifier = without_memory(config)
        x = torch.empty(1, config["channels"], *config["image_size"], device="meta")
    else:
        x = normalize(to_unit(image[None].to(classifier.device)), classifier.mean, classifier.std).to(classifier.dtype)
    counts = count(without_memory(config)).get_flop_counts()
    root = type(classifier.model).__name__
    costs = {path.removeprefix(f"{root}."): sum(found.values()) // 2 for path, found in counts.items()}
    costs[""] = costs.get(root, 0)
    height, width = config["image_size"]
    meaning = f"{height} x {width} pixels, each channel scaled by the mean and the deviation of the training images"
    first = Step("pixels", meaning, x[0], 0)
    with torch.no_grad():
        model = classifier.model
        return [first, *(_of_vit(model, x, costs) if has_attention(model) else _of_stages(model, x, costs))]


def b16_config() -> dict:
    """ViT-B/16 at 224x224 with 1000 classes: the geometry of the ViT paper's base model, without weights."""
    return {
        "image_size": [224, 224],
        "channels": 3,
        "classes": [str(number) for number in range(1000)],
        "model": VIT_B16.model_dump(),
        "compute": {"attention": "fused"},
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }


def _twin(model: Model) -> Model:
    """A copy that shares the weights, to hang hooks on while others use the model."""
    return copy.deepcopy(model, {id(value): value for value in (*model.parameters(), *model.buffers())}).eval()


def _of_vit(model: VisionTransformer, x: Tensor, costs: dict[str, int]) -> Iterator[Step]:
    twin = _twin(model)
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name, module in twin.named_modules():
        module.register_forward_hook(
            lambda one, inputs, output, name=name: seen.update({name: (inputs[0], output)}), always_call=False
        )
    logits = twin(x)
    yield from _tokens(twin, x, seen, costs)
    heads = next(module.num_heads for module in twin.modules() if isinstance(module, Attention))
    for number in range(1, len(twin.blocks) + 1):
        yield from _block(number, heads, seen, costs)
    yield from _head(twin, logits, seen, costs)


def _tokens(twin: VisionTransformer, x: Tensor, seen: dict, costs: dict[str, int]) -> Iterator[Step]:
    embedded = seen["patch_embed"][1]
    if isinstance(twin.patch_embed, PatchEmbed):
        P = twin.patch_embed.patch_size
        B, C, H, W = x.shape
        cut = x.reshape(B, C, H // P, P, W // P, P).permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * P * P)
        meaning = f"the image in {cut.shape[1]} patches, each a row of {C} x {P} x {P} numbers"
        yield Step("patches", meaning, cut[0], 0)
        before = 0
    else:
        features = seen["patch_embed.convs"][1]
        before = costs.get("patch_embed.convs", 0)
        meaning = "convolutions that pool until a position covers one patch: channels, rows, columns"
        yield Step("stem", meaning, features[0], before)
    meaning = f"one learned matrix turns every patch into a token of {embedded.shape[-1]} numbers"
    yield Step("projection", meaning, embedded[0], costs.get("patch_embed", 0) - before)
    learned = {name: getattr(twin, name) for name in TOKENS if getattr(twin, name, None) is not None}
    learned = {name: token for name, token in learned.items() if token.shape[1]}
    if learned:
        names = " and ".join(TOKENS[name] for name in learned)
        together = torch.cat([*(token.expand(len(x), -1, -1) for token in learned.values()), embedded], dim=1)
        meaning = f"the {names} token goes before the patches: learned, the same for every image"
        yield Step(f"{names} token", meaning, together[0], 0)
    placed = seen["pos_drop"][1]
    has_positions = twin.pos_embed.is_meta or bool(twin.pos_embed.any())
    meaning = "a vector per place is added, so that the model knows where each patch was"
    none = "this model adds none: it cannot tell where a patch was"
    yield Step("positions", meaning if has_positions else none, placed[0], 0)


def _block(number: int, heads: int, seen: dict, costs: dict[str, int]) -> Iterator[Step]:
    name = f"blocks.{number - 1}"
    attended = seen[f"{name}.norm2"][0]
    meaning = f"every token asks all others in {heads} heads, and adds what it gets to itself"
    yield Step(f"block {number}: attention", meaning, attended[0], costs.get(f"{name}.attn", 0))
    meaning = "each token is changed on its own by two layers with a bend between, and added to itself"
    yield Step(f"block {number}: MLP", meaning, seen[name][1][0], costs.get(f"{name}.mlp", 0))


def _head(twin: VisionTransformer, logits: Tensor, seen: dict, costs: dict[str, int]) -> Iterator[Step]:
    read = seen["head"][0]
    pools = {"cls": "the class token after the last norm", "avg": "the mean of all patch tokens, then a norm"}
    meaning = f"{pools.get(twin.pool, 'what a learned query gathers from the patches')}: all that the head reads"
    yield Step("pooling", meaning, read[0], costs.get("attn_pool", 0))
    both = ", the mean of both heads" if twin.distilled else ""
    meaning = f"one number per class{both}; the softmax turns them into probabilities"
    yield Step("logits", meaning, logits[0], costs.get("head", 0) + costs.get("head_dist", 0))


def _of_stages(model: nn.Module, x: Tensor, costs: dict[str, int]) -> Iterator[Step]:
    """A model without attention: its top modules in the order in which they are called, sequences taken apart."""
    twin = _twin(model)
    names = [f"{top}.{part}" for top, module in twin.named_children() if isinstance(module, nn.Sequential)
             for part, _ in module.named_children()]  # fmt: skip
    names += [top for top, module in twin.named_children() if not isinstance(module, nn.Sequential)]
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name in names:
        twin.get_submodule(name).register_forward_hook(
            lambda one, inputs, output, name=name: seen.update({name: (inputs[0], output.clone())})
        )
    logits = twin(x)
    *stages, last = seen
    for name in stages:
        kind = type(twin.get_submodule(name)).__name__
        before, after = (tuple(value.shape[1:]) for value in seen[name])
        meaning = f"{kind}: from {_spelled(before)} to {_spelled(after)} (channels, rows, columns)"
        yield Step(name, meaning, seen[name][1][0], costs.get(name, 0))
    read = seen[last][0]
    if read.dim() == 2:  # some end in a convolution
        yield Step("pooling", "the mean over all places: all that the head reads", read[0], 0)
    yield Step("logits", "one number per class; the softmax turns them into probabilities", logits[0], costs[last])


def _spelled(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def family_title(classifier: Classifier) -> str:
    """The kind of a model in words."""
    return architecture_of(classifier.model).family.title
