"""Who trains in the benchmark: ours at its defaults, and the peers, each with the same geometry and batch."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.tutorial_vit import TutorialViT
from vit.config.presets import load_preset
from vit.config.schema import ModelParams, TrainParams
from vit.inference.classifier import Classifier
from vit.training.device import Compute, apply, choose, find_device
from vit.training.distributed import World
from vit.training.step import TrainingStep

REPO = Path(__file__).parents[1]
REQUIREMENTS = "requirements-bench.txt"
ALONE = World()


@dataclass(frozen=True)
class Case:
    """What is trained: a model on one batch of random normalized images. Sizes in pixels, (height, width)."""

    name: str
    model: ModelParams
    train: TrainParams
    image_size: tuple[int, int]
    channels: int
    classes: int
    batch_size: int

    def random_batch(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) and labels (B,)."""
        draws = torch.Generator().manual_seed(0)
        x = torch.randn(self.batch_size, self.channels, *self.image_size, generator=draws)
        return x.to(device), torch.randint(self.classes, (self.batch_size,), generator=draws).to(device)


@dataclass(frozen=True)
class Contender:
    """One way to train: `settle` makes the process-wide settings that it wants, `step` is one optimizer step."""

    model: nn.Module
    device: torch.device
    settle: Callable[[], None]
    step: Callable[[], None]

    def milliseconds(self, steps: int) -> float:
        """Time per step over `steps` of them."""
        self.settle()
        began = time.perf_counter()
        for _ in range(steps):
            self.step()
        if self.device.type != "cpu":
            torch.accelerator.synchronize()
        return 1000 * (time.perf_counter() - began) / steps


def preset_case(name: str) -> Case:
    """The model and batch of a preset, with 10 classes."""
    params = load_preset(name, REPO / "presets").params
    size = tuple(params.pack.image_size)
    return Case(f"{name} preset", params.model, params.train, size, params.pack.channels, 10, params.train.batch_size)


def ours(case: Case, world: World = ALONE, **changes: object) -> Contender:
    """As the train stage trains, with train params changed; `auto` resolved for this machine.

    In a `world` of several processes, every one has the case's batch of its own.
    """
    train = case.train.model_copy(update=changes)
    compute, _ = choose(train, case.model, case.image_size, world)
    classifier = new_classifier(case, compute)
    model = classifier.model.train()
    step = TrainingStep(model, train, compute, world)
    x, labels = case.random_batch(classifier.device)
    count, images = train.grad_accum_steps, len(x) * world.size
    pieces = list(zip(x.tensor_split(count), labels.tensor_split(count), strict=True))
    return Contender(model, classifier.device, lambda: apply(compute), lambda: step(pieces, images, train.lr))


def new_classifier(case: Case, compute: Compute) -> Classifier:
    config = {
        "image_size": case.image_size,
        "channels": case.channels,
        "mean": [0.5] * case.channels,
        "std": [0.25] * case.channels,
        "classes": list(range(case.classes)),
        "model": case.model.model_dump(),
        "compute": {"attention": compute.attention},
    }
    return Classifier.new(config, torch.device(compute.device))


def peer(case: Case, name: str, autocast: bool) -> Contender:
    """The peer as a user would train it: PyTorch's AdamW as it comes, float32 or under autocast to bfloat16."""
    device = find_device(case.train.device)
    model = PEERS[name](case).to(device).train()
    train = case.train
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=train.lr, betas=tuple(train.betas), weight_decay=train.weight_decay
    )
    x, labels = case.random_batch(device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            logits = model(x)
            logits = getattr(logits, "logits", logits)  # transformers wraps them
            loss = F.cross_entropy(logits, labels, label_smoothing=train.label_smoothing)
        loss.backward()
        if train.clip_grad is not None:
            nn.utils.clip_grad_norm_(model.parameters(), train.clip_grad)
        optimizer.step()

    threads = torch.get_num_threads()
    return Contender(model, device, lambda: pytorch_defaults(threads), step)


def pytorch_defaults(threads: int) -> None:
    """Undo what `apply` sets for ours."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
    torch.utils.deterministic.fill_uninitialized_memory = True


def timm_vit(case: Case) -> nn.Module:
    """timm's VisionTransformer, from its own defaults but for the geometry."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=case.image_size,
        patch_size=case.model.patch_size,
        in_chans=case.channels,
        num_classes=case.classes,
        embed_dim=case.model.embed_dim,
        depth=case.model.depth,
        num_heads=case.model.num_heads,
        mlp_ratio=case.model.mlp_ratio,
    )


def torchvision_vit(case: Case) -> nn.Module:
    """torchvision's VisionTransformer; for other than three channels its first convolution is replaced."""
    from torchvision.models import VisionTransformer

    model = VisionTransformer(
        image_size=case.image_size[0],
        patch_size=case.model.patch_size,
        num_layers=case.model.depth,
        num_heads=case.model.num_heads,
        hidden_dim=case.model.embed_dim,
        mlp_dim=mlp_dim(case),
        num_classes=case.classes,
    )
    if case.channels != 3:  # it has no argument for that
        patch = case.model.patch_size
        model.conv_proj = nn.Conv2d(case.channels, case.model.embed_dim, kernel_size=patch, stride=patch)
    return model


def transformers_vit(case: Case) -> nn.Module:
    """Hugging Face's ViTForImageClassification, from a configuration, without a download."""
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(
        ViTConfig(
            image_size=case.image_size[0],
            patch_size=case.model.patch_size,
            num_channels=case.channels,
            num_labels=case.classes,
            hidden_size=case.model.embed_dim,
            num_hidden_layers=case.model.depth,
            num_attention_heads=case.model.num_heads,
            intermediate_size=mlp_dim(case),
        )
    )


def tutorial_vit(case: Case, need_weights: bool) -> nn.Module:
    """What a tutorial writes; see benchmarks/tutorial_vit.py."""
    model = case.model
    return TutorialViT(
        image_size=case.image_size[0],
        patch_size=model.patch_size,
        channels=case.channels,
        classes=case.classes,
        dim=model.embed_dim,
        depth=model.depth,
        heads=model.num_heads,
        mlp_dim=mlp_dim(case),
        need_weights=need_weights,
    )


def mlp_dim(case: Case) -> int:
    return int(case.model.embed_dim * case.model.mlp_ratio)


PEERS = {
    "timm": timm_vit,
    "torchvision": torchvision_vit,
    "transformers": transformers_vit,
    "tutorial": partial(tutorial_vit, need_weights=False),
    "tutorial, need_weights": partial(tutorial_vit, need_weights=True),
}


def missing_peers() -> list[str]:
    """The peers whose package is not installed."""
    return [name for name in PEERS if not name.startswith("tutorial") and importlib.util.find_spec(name) is None]
