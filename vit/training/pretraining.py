"""Pretraining the encoder: epochs of masked autoencoding over images without labels, resumed after any end.

Every draw is a function of seed, epoch and step, and every epoch ends with a checkpoint.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import torch
from torch import Tensor
from tqdm import tqdm

from vit.config.schema import AugmentParams, PretrainParams, TrainParams
from vit.data.augmentation.apply import augment
from vit.data.augmentation.changes import draw_changes
from vit.data.augmentation.crop import FLIPS
from vit.data.augmentation.geometric import GEOMETRIC
from vit.data.batches import to_device
from vit.data.joined import Joined
from vit.data.seeds import seed_of, seeded
from vit.errors import UserError
from vit.inference.classifier import Classifier
from vit.models.vision_transformer import VisionTransformer, set_fused_attention
from vit.training.checkpoint import Checkpoints, Progress
from vit.training.device import Compute
from vit.training.distributed import World
from vit.training.initial import HEADS
from vit.training.interruption import Interruption, interrupted
from vit.training.loop import CHECKED_EVERY, Note, note_nothing, steps_per_epoch
from vit.training.masked_autoencoding import MaskedAutoencoder
from vit.training.optim import learning_rate
from vit.training.step import AUTOCAST

BETAS = (0.9, 0.95)  # He et al. 2021, table 8
CLIP_GRAD = 1.0
OPERATIONS = (*FLIPS, *GEOMETRIC)  # colours are what the decoder predicts


class PretrainingStep:
    """The autoencoder and everything that a step changes: weights, optimizer, loss scale."""

    world = World()

    def __init__(self, classifier: Classifier, settings: PretrainParams, compute: Compute):
        config = classifier.config
        height, width = config["image_size"]
        patch = config["model"]["patch_size"]
        encoder = cast(VisionTransformer, classifier.model)  # the schema refuses others
        self.autoencoder = MaskedAutoencoder(
            encoder,
            (height // patch, width // patch),
            patch,
            config["channels"],
            settings.mask_ratio,
            settings.decoder_dim,
            settings.decoder_depth,
        ).to(classifier.device)
        set_fused_attention(self.autoencoder, compute.attention == "fused")
        self.device_type, self.dtype = compute.device_type, AUTOCAST[compute.precision]
        decayed: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.autoencoder.named_parameters():
            decayed[parameter.ndim > 1 and name.endswith("weight")].append(parameter)
        groups = [
            {"params": parameters, "weight_decay": settings.weight_decay * is_matrix}
            for is_matrix, parameters in decayed.items()
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, fused=True)
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=compute.precision == "float16")

    def __call__(self, x: Tensor, noise: Tensor, lr: float) -> Tensor:
        """Update the weights with images (B, C, H, W); returns the sum of their losses, (1,), on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        with torch.autocast(self.device_type, self.dtype, enabled=self.dtype != torch.float32):
            loss = self.autoencoder(x, noise)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.autoencoder.parameters(), CLIP_GRAD)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()[None] * len(x)

    def weights(self) -> dict[str, Tensor]:
        """The encoder's weights on the CPU, without the head, which has learned nothing."""
        state = self.autoencoder.encoder.state_dict().items()
        return {name: weight.cpu().contiguous() for name, weight in state if name.split(".")[0] not in HEADS}

    def state_dict(self) -> dict:
        parts = {"autoencoder": self.autoencoder, "optimizer": self.optimizer, "scaler": self.scaler}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: dict) -> None:
        self.autoencoder.load_state_dict(state["autoencoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])


def pretrain(
    step: PretrainingStep,
    classifier: Classifier,
    part: Joined,
    settings: PretrainParams,
    train: TrainParams,
    progress: Progress,
    checkpoints: Checkpoints,
    show: Callable[[Progress], None],
    note: Note = note_nothing,
) -> None:
    """Train from `progress` to the end, calling `show` after the checkpoint of each epoch and `note` after each step.

    `train` gives the seed and the geometric augmentation. Raises UserError on a NaN or infinite loss, Interrupted on a
    signal.
    """
    schedule = schedule_of(settings)
    per_epoch = steps_per_epoch(len(part), settings.batch_size)
    check = 1 if classifier.device.type == "cpu" else CHECKED_EVERY
    step.autoencoder.train()
    bar = tqdm(total=settings.epochs * per_epoch, initial=progress.steps, unit="step", desc="pretrain", disable=None)
    with bar, Interruption() as interruption:
        while (epoch := len(progress.history)) < settings.epochs:
            done = progress.steps - epoch * per_epoch
            sums = torch.zeros(1) if progress.unfinished is None else progress.unfinished
            sums = sums.to(classifier.device)
            for x, noise in batches(step, classifier, part, settings.batch_size, train, epoch, done):
                sums = sums + step(x, noise, rate := learning_rate(progress.steps, per_epoch, schedule))
                progress.steps += 1
                bar.update()
                note(progress, sums)
                is_last = progress.steps == (epoch + 1) * per_epoch
                received = interruption.received
                if (is_last or received or progress.steps % check == 0) and not sums.isfinite().all():
                    raise UserError(
                        f"pretraining diverged: the loss is {sums.item()} at step {progress.steps}, with a learning "
                        f"rate of {rate:.3g}; lower pretrain.lr ({settings.lr})"
                    )
                if received and not is_last:
                    progress.unfinished = sums.cpu()
                    checkpoints.save(progress, step)
                    raise interrupted(received, progress.steps, settings.epochs * per_epoch)
            progress.history.append({"epoch": epoch + 1, "train_loss": sums.item() / len(part)})
            progress.unfinished = None
            bar.set_postfix(loss=f"{progress.history[-1]['train_loss']:.4f}")
            checkpoints.save(progress, step)
            show(progress)
            if interruption.received and epoch + 1 < settings.epochs:
                raise interrupted(interruption.received, progress.steps, settings.epochs * per_epoch)


def schedule_of(settings: PretrainParams) -> TrainParams:
    """The parameters that `learning_rate` reads."""
    return TrainParams(epochs=settings.epochs, lr=settings.lr, warmup_epochs=settings.warmup_epochs)


def batches(
    step: PretrainingStep,
    classifier: Classifier,
    part: Joined,
    batch_size: int,
    train: TrainParams,
    epoch: int,
    done: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch (from 0) after the first `done`: images (B, C, H, W), and noise (B, N) for masks."""
    size, device = tuple(classifier.config["image_size"]), classifier.device
    still: AugmentParams = train.augment.model_copy(update={"trivial": 0.0})
    order = torch.randperm(len(part), generator=seeded(train.seed, "pretrain order", epoch)).split(batch_size)[done:]
    for number, images in enumerate(part.batches(order), start=done):
        draws = partial(seeded, train.seed, "pretrain", epoch, number)
        torch.manual_seed(seed_of(train.seed, "pretrain dropout", epoch, number))
        changes = draw_changes(len(images), still, draws, OPERATIONS)
        noise = torch.rand(len(images), step.autoencoder.patches, generator=draws("hidden patches"))
        x = augment(to_device(images, device), changes, size, classifier.mean, classifier.std)
        yield x, to_device(noise, device)
