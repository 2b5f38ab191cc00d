"""One optimizer step: forward, backward, clipping, update, in the precision and over the processes that were chosen."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vit.model import VisionTransformer
from vit.params import TrainParams
from vit.training.device import Compute
from vit.training.distributed import World
from vit.training.optim import new_average, new_optimizers, set_learning_rate, update_average

AUTOCAST = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TrainingStep:
    """The model under training with all that its steps change: weights, their average, optimizers, loss scale.

    The gradient is that of the mean loss over the images of the whole batch, into however many pieces it is cut, by
    accumulation or among processes.
    """

    def __init__(self, model: VisionTransformer, train: TrainParams, compute: Compute, world: World):
        self.model, self.train, self.world = model, train, world
        self.device_type, self.dtype = compute.device_type, AUTOCAST[compute.precision]
        self.is_sharded = world.is_group and train.parallel == "fsdp"
        model.grad_checkpointing = train.grad_checkpointing
        if self.is_sharded:
            from vit.training import sharded

            self.sharded = sharded
            sharded.shard(model)
        self.optimizers = new_optimizers(model, train)
        self.average = new_average(model, train)
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=compute.precision == "float16")
        self.is_replicated = world.is_group and not self.is_sharded
        forward = DistributedDataParallel(model, gradient_as_bucket_view=True) if self.is_replicated else model
        self.forward = forward
        self.predict = forward
        if compute.compile:
            # A graph is one launch for all kernels of a pass; each launch can take a CPU longer than its kernel a GPU.
            # It writes gradients to the same memory each time, where those of a batch's pieces could not be added up.
            is_graph = self.device_type == "cuda" and not world.is_group and train.grad_accum_steps == 1
            self.predict = torch.compile(forward, mode="reduce-overhead" if is_graph else "default")

    @property
    def evaluated(self) -> nn.Module:
        """The model that val judges and that is kept: the average, where there is one."""
        return self.model if self.average is None else self.average.module

    def __call__(self, pieces: Iterable[tuple[Tensor, Tensor]], images: int, lr: float) -> Tensor:
        """Update the weights by a batch of `images`, of which this process has `pieces`, `grad_accum_steps` of them.

        A piece is normalized images (b, C, H, W), and labels (b,) or probabilities (b, K); it may be empty. Returns the
        sum of this process's losses and how many of its answers were right (2,), on the device.
        """
        set_learning_rate(self.optimizers, lr)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        sums = torch.zeros(2, device=next(self.model.parameters()).device)
        for number, (x, targets) in enumerate(pieces, start=1):
            with self._apart(until_last=number < self.train.grad_accum_steps):
                with torch.autocast(self.device_type, self.dtype, enabled=self.dtype != torch.float32):
                    logits = self.predict(x).float()
                loss = F.cross_entropy(logits, targets, label_smoothing=self.train.label_smoothing, reduction="sum")
                self.scaler.scale(loss * (self.world.size / images)).backward()  # processes are averaged
            labels = targets.argmax(dim=1) if targets.ndim == 2 else targets
            sums += torch.stack([loss.detach(), (logits.argmax(dim=1) == labels).sum()])
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

    def _apart(self, until_last: bool) -> AbstractContextManager:
        """Gradients are exchanged between processes once a batch, with its last piece."""
        if self.is_sharded:
            self.model.set_requires_gradient_sync(not until_last)
        return self.forward.no_sync() if self.is_replicated and until_last else nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights to keep, whole and on the CPU; every process of a sharded training must ask."""
        if self.is_sharded:
            return self.sharded.gather_weights(self.model)
        return {name: weight.cpu().clone() for name, weight in self.evaluated.state_dict().items()}

    def state_dict(self) -> dict:
        """Everything that the next step depends on; every process of a sharded training must ask."""
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
