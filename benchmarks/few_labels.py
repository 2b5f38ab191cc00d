"""Many images, few labels: what pretraining on images without labels earns at equal total CPU time.

Masked autoencoding (He et al. 2021, "Masked Autoencoders Are Scalable Vision Learners") and self-distillation (Caron et
al. 2021, "Emerging Properties in Self-Supervised Vision Transformers") against supervised training of the same ViT and
of the small CNN. Every method gets the same CPU seconds, pretraining included; its learning rate follows its own share
of them. No test image is used before the last weights are judged. All compute in bfloat16 where this CPU multiplies it
natively, as the pipeline does.
"""

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from benchmarks.rows import print_table
from learn.dino import Dino, momentum_at
from vit.config.schema import AugmentParams, ModelParams, PretrainParams, TrainParams
from vit.data.augmentation.apply import augment
from vit.data.augmentation.changes import draw_changes
from vit.data.batches import normalize, to_unit
from vit.data.seeds import seeded
from vit.files import read_json, write_json
from vit.models.families import new_model
from vit.models.vision_transformer import VisionTransformer, set_fused_attention
from vit.training.device import choose
from vit.training.distributed import World
from vit.training.masked_autoencoding import MaskedAutoencoder

VIT = {"name": "vit", "patch_size": 4, "embed_dim": 128, "depth": 6, "num_heads": 4, "pool": "avg"}
MODELS = {"vit": VIT | {"pos_embed": "sincos2d"}, "cnn": {"name": "cnn"}}
AUGMENT = {"hflip": 0.5, "scale": 0.1, "translate": 0.12, "brightness": 0.2, "contrast": 0.2}  # preset cifar10's
STRONG = {"hflip": 0.5, "scale": 0.3, "translate": 0.25, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4}
MEAN, STD = [0.49, 0.48, 0.45], [0.25, 0.24, 0.26]  # of CIFAR-10's training images
PRETRAINING = 0.75  # of a method's time
METHODS = ("cnn", "vit", "mae", "dino")
BATCH, SIZE = 128, 32
PER_CLASS = 5000


def precision() -> str:
    """What the pipeline's `train.precision: auto` chooses for the ViT on this CPU."""
    train = TrainParams(device="cpu")
    return choose(train, ModelParams.model_validate(MODELS["vit"]), [SIZE, SIZE], World())[0].precision


class Clock:
    """CPU seconds of this process since it was made, as a share of `budget`."""

    def __init__(self, budget: float):
        self.budget, self.start = budget, time.process_time()

    @property
    def share(self) -> float:
        return (time.process_time() - self.start) / self.budget


def train(
    modules: list[nn.Module], loss_of: Callable[[int, float], Tensor], budget: float, lr: float, decay=0.05
) -> int:
    """Minimize `loss_of(step, share)` for `budget` CPU seconds with AdamW, warm-up and cosine; returns the steps."""
    weights = [one for module in modules for one in module.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in weights if (one.ndim > 1) is large], "weight_decay": decay * large}
        for large in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)
    clock, step, is_bfloat16 = Clock(budget), 0, precision() == "bfloat16"
    while (share := clock.share) < 1:
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1, share / 0.05 + 1e-3) * (1 + math.cos(math.pi * share)) / 2
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16):
            loss = loss_of(step, share)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
    return step


def batches(count: int, seed: int, name: str) -> Iterator[Tensor]:
    """Indices of batches in a new order every epoch, without end."""
    generator = seeded(seed, name)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order.split(BATCH) if count <= BATCH else order.split(BATCH)[: count // BATCH]


def varied(images: Tensor, settings: dict, seed: int, *key: object) -> Tensor:
    """Augmented and normalized copies of uint8 images (B, H, W, C)."""
    changes = draw_changes(len(images), AugmentParams(**settings), partial(seeded, seed, *key))
    return augment(images, changes, (SIZE, SIZE), MEAN, STD)


def supervised(model: nn.Module, images: Tensor, labels: Tensor, budget: float, lr: float, seed: int) -> int:
    order = batches(len(images), seed, "order")

    def loss_of(step: int, share: float) -> Tensor:
        chosen = next(order)
        x = varied(images[chosen], AUGMENT, seed, "changes", step)
        return F.cross_entropy(model(x), labels[chosen], label_smoothing=0.1)

    return train([model.train()], loss_of, budget, lr)


def masked_autoencoding(model: VisionTransformer, images: Tensor, budget: float, seed: int) -> int:
    """The method of stage pretrain with its defaults: 75 % of the patches hidden, two decoder blocks of width 64."""
    settings, patch = PretrainParams(), VIT["patch_size"]
    shape = (settings.mask_ratio, settings.decoder_dim, settings.decoder_depth)
    autoencoder = MaskedAutoencoder(model, (SIZE // patch, SIZE // patch), patch, 3, *shape)
    generator, order = seeded(seed, "masks"), batches(len(images), seed, "order")

    def loss_of(step: int, share: float) -> Tensor:
        """Mean squared error of the hidden patches' normalized pixels."""
        x = varied(images[next(order)], AUGMENT | {"brightness": 0.0, "contrast": 0.0}, seed, "changes", step)
        return autoencoder(x, torch.rand(len(x), autoencoder.patches, generator=generator))

    return train([autoencoder.train()], loss_of, budget, lr=settings.lr)


def self_distillation(model: VisionTransformer, images: Tensor, budget: float, seed: int) -> int:
    """Two views of each image at full size for teacher and student; the teacher is the student's moving average."""
    grid = (SIZE // VIT["patch_size"], SIZE // VIT["patch_size"])
    dino, order = Dino(_without_head(model), grid), batches(len(images), seed, "order")

    def loss_of(step: int, share: float) -> Tensor:
        """Cross-entropy between the teacher's and the student's codes of the two views."""
        dino.follow(momentum_at(share))
        chosen = images[next(order)]
        return dino([varied(chosen, STRONG, seed, "view", view, step) for view in (0, 1)])[0]

    return train([dino.student], loss_of, budget, lr=1e-3)


def _without_head(model: VisionTransformer) -> VisionTransformer:
    """A model that shares all weights but answers with features."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules) | {"head": nn.Identity()}
    return twin


def new(kind: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = new_model({"image_size": [SIZE, SIZE], "channels": 3, "classes": range(10), "model": MODELS[kind]})
    set_fused_attention(model, False)  # slower backwards on a CPU
    return model


@torch.inference_mode()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of right predictions in [0, 1]."""
    model.eval()
    parts = [model(normalize(to_unit(part), MEAN, STD)).argmax(dim=1) for part in images.split(500)]
    return (torch.cat(parts) == labels).float().mean().item()


def load(folder: Path, part: str, per_class: int) -> tuple[Tensor, Tensor]:
    """The first images of each class in folder/part/CLASS: uint8 (N, H, W, C), and labels (N,)."""
    classes = sorted(path for path in (folder / part).iterdir() if path.is_dir())
    chosen = [(path, label) for label, one in enumerate(classes) for path in sorted(one.iterdir())[:per_class]]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in chosen])
    return torch.from_numpy(pixels), torch.tensor([label for _, label in chosen])


def few(labels: Tensor, per_class: int, seed: int) -> Tensor:
    """Indices of `per_class` random images of each class."""
    generator = seeded(seed, "labelled")
    order = torch.randperm(len(labels), generator=generator)
    return torch.cat([order[labels[order] == label][:per_class] for label in labels.unique()])


def measure(
    folder: Path, seconds: float, per_class: list[int], seeds: int, out: Path, methods: Sequence[str] = METHODS
) -> list[dict]:
    """Train each of the `methods` for `seconds` of CPU time per number of labels and seed; `out` grows."""
    torch.set_num_threads(1)
    images, labels = load(folder, "train", PER_CLASS)
    test = load(folder, "test", 400)
    rows = read_json(out) if out.is_file() else []
    done = {(row["method"], row["labels_per_class"], row["seed"], row["cpu_seconds"]) for row in rows}
    for seed in range(seeds):
        started: dict[str, tuple[nn.Module, int]] = {}
        for count in per_class:
            mine = few(labels, count, seed)
            for method in methods:
                if (method, count, seed, seconds) in done:
                    continue
                model, steps, budget, lr = new("cnn" if method == "cnn" else "vit", seed), 0, seconds, 1e-3
                if method in ("mae", "dino"):
                    if method not in started:
                        pretrain = masked_autoencoding if method == "mae" else self_distillation
                        started[method] = (model, pretrain(model, images, PRETRAINING * seconds, seed))
                    model, steps = copy.deepcopy(started[method][0]), started[method][1]
                    budget = (1 - PRETRAINING) * seconds
                finetuning = supervised(model, images[mine], labels[mine], budget, lr, seed)
                rows.append(
                    {
                        "method": method,
                        "labels_per_class": count,
                        "seed": seed,
                        "accuracy": round(accuracy(model, *test), 4),
                        "test_images": len(test[1]),
                        "cpu_seconds": seconds,
                        "precision": precision(),
                        "pretraining_epochs": round(steps * BATCH / len(images), 2),
                        "labelled_epochs": round(finetuning * min(BATCH, len(mine)) / len(mine), 1),
                    }
                )
                write_json(out, rows)
                print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", type=Path, required=True, help="folder with train/CLASS and test/CLASS, 32x32 pixels"
    )
    parser.add_argument("--seconds", type=float, default=3600, help="CPU seconds for each method, pretraining included")
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 25, 500], help="labelled images of each class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    print_table(measure(asked.images, asked.seconds, asked.labels, asked.seeds, asked.out, asked.methods))


if __name__ == "__main__":
    main()
