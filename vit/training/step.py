"""One optimizer step: forward, backward, clipping and update, in the chosen precision and over all processes."""

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vit.config.schema import TrainParams
from vit.errors import UserError
from vit.models.families import can_recompute, set_channels_last
from vit.training.device import Compute
from vit.training.distillation import Teacher, combined_logits, training_loss
from vit.training.distributed import World
from vit.training.optim import freeze, new_average, new_optimizers, set_learning_rate, update_average
from vit.training.recorded import Recorded

log = logging.getLogger("vit")

AUTOCAST = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TrainingStep:
    """The model in training and everything that a step changes: weights, their average, optimizers, loss scale.

    The gradient is that of the mean loss over the whole batch, however many micro-batches and processes share it. Only
    batch norm depends on the micro-batches, because it normalizes each of them separately.
    """

    def __init__(
        self,
        model: nn.Module,
        train: TrainParams,
        compute: Compute,
        world: World,
        teacher: Teacher | None = None,
        class_weights: Tensor | None = None,
    ):
        self.model, self.train, self.world, self.teacher = model, train, world, teacher
        self.class_weights = class_weights
        self.device_type, self.dtype = compute.device_type, AUTOCAST[compute.precision]
        self.is_sharded = world.is_group and train.parallel == "fsdp"
        if can_recompute(model):
            model.grad_checkpointing = train.grad_checkpointing
        self._warn_of_micro_batches()
        if not self.is_sharded:  # FSDP2 accepts only contiguous weights
            set_channels_last(model, is_float32=compute.precision == "float32")
        self.frozen_norms = freeze(model, train.frozen_layers)
        if self.is_sharded:
            from vit.training import sharded

            self.sharded = sharded
            sharded.shard(model)
        self.optimizers = new_optimizers(model, train)
        self.average = new_average(model, train)
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=compute.precision == "float16")
        is_replicated = world.is_group and not self.is_sharded
        forward = DistributedDataParallel(model, gradient_as_bucket_view=True) if is_replicated else model
        self.forward = forward
        self.predict = forward
        in_one_pass = self.device_type == "cuda" and not world.is_group and train.grad_accum_steps == 1
        if compute.compile:
            self.predict = torch.compile(forward, mode="reduce-overhead" if in_one_pass else "default")
        elif in_one_pass and not train.grad_checkpointing:
            self.predict = Recorded(model)

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated on val and saved: the average, if there is one."""
        return self.model if self.average is None else self.average.module

    def set_training(self) -> None:
        """Set training mode, except for frozen layers."""
        self.model.train()
        for norm in self.frozen_norms:
            norm.eval()

    def __call__(self, micro_batches: Iterable[tuple[Tensor, Tensor]], images: int, lr: float) -> Tensor:
        """Update the weights with a batch of `images`, of which this process has `grad_accum_steps` micro-batches.

        A micro-batch is normalized images (b, C, H, W) with labels (b,) or probabilities (b, K); it may be empty.
        Returns this process's sum of losses and number of correct predictions (2,), on the device.
        """
        set_learning_rate(self.optimizers, lr)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        sums = torch.zeros(2, device=next(self.model.parameters()).device)
        for number, (x, targets) in enumerate(micro_batches, start=1):
            with self._apart(until_last=number < self.train.grad_accum_steps):
                with torch.autocast(
                    self.device_type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False
                ):
                    logits = self._logits(x)
                    taught = None if self.teacher is None else self.teacher(x)
                loss = training_loss(logits, targets, taught, self.train, self.class_weights)
                self.scaler.scale(loss * (self.world.size / images)).backward()  # gradients are averaged over processes
            labels = targets.argmax(dim=1) if targets.ndim == 2 else targets
            sums += torch.stack([loss.detach(), (combined_logits(logits).argmax(dim=1) == labels).sum()])
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        if self.train.clip_grad is not None:
            together = True if self.device_type == "cpu" and not self.is_sharded else None  # None: where PyTorch would
            nn.utils.clip_grad_norm_(self.model.parameters(), self.train.clip_grad, foreach=together)
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.average is not None:
            update_average(self.average, self.model)
        return sums

    def _logits(self, x: Tensor) -> Tensor:
        try:
            return self.predict(x).float()
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError(
                "batch norm cannot normalize a single image whose feature map is a single position, and a micro-batch "
                f"holds only one image; change train.batch_size ({self.train.batch_size}) or train.grad_accum_steps "
                f"({self.train.grad_accum_steps})"
            ) from error

    def _warn_of_micro_batches(self) -> None:
        micro_batches = self.world.size * self.train.grad_accum_steps
        if micro_batches > 1 and self.world.is_first and _batch_norms(self.model):
            log.info(
                f"batch norm normalizes each of the {micro_batches} micro-batches separately, so results differ "
                "slightly from whole batches"
            )

    def share_statistics(self) -> None:
        """Copy batch norm's running statistics from the first process, because each process has its own."""
        for norm in _batch_norms(self.evaluated):
            for statistic in norm.buffers():
                self.world.copy_from_first(statistic)

    def _apart(self, until_last: bool) -> AbstractContextManager:
        """Exchange gradients between processes once per batch, with its last micro-batch."""
        if self.is_sharded:
            self.sharded.set_exchange(self.model, not until_last)
        if until_last and isinstance(self.forward, DistributedDataParallel):
            return self.forward.no_sync()
        return nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """A complete copy of the weights on the CPU; every process of a sharded training must call it."""
        if self.is_sharded:
            return self.sharded.gather_weights(self.model)
        state = self.evaluated.state_dict().items()
        return {name: weight.cpu().clone(memory_format=torch.contiguous_format) for name, weight in state}

    def state_dict(self) -> dict:
        """Everything that the next step depends on; every process of a sharded training must call it."""
        if self.is_sharded:
            model, optimizers = self.sharded.gather(self.model, self.optimizers)
        else:
            model, optimizers = self.model.state_dict(), [one.state_dict() for one in self.optimizers]
        average = self.average.state_dict() if self.average is not None else {}
        return {"model": model, "optimizers": optimizers, "average": average, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        if self.is_sharded:
            self.sharded.scatter(self.model, self.optimizers, state["model"], state["optimizers"])
        else:
            self.model.load_state_dict(state["model"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.scaler.load_state_dict(state["scaler"])


def _batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
