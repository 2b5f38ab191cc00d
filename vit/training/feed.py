"""Batches for one training process; every random draw is a function of seed, epoch and step."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.config.schema import TrainParams
from vit.data.augmentation.apply import augment
from vit.data.augmentation.changes import draw_changes
from vit.data.augmentation.mixing import mix
from vit.data.batches import to_device
from vit.data.decoded import Part
from vit.data.seeds import seed_of, seeded
from vit.data.shards.streamed import Streamed
from vit.inference.classifier import Classifier
from vit.training.balance import balanced_order
from vit.training.distributed import World

SHOWN = 32  # images of the first batch


@dataclass
class Feed:
    """The train split as batches of model input; `waited` sums the seconds that the consumer spent waiting.

    A batch is the same whether it is whole, divided into `grad_accum_steps` micro-batches, or shared by processes; only
    mixup and cutmix mix within a micro-batch.
    """

    classifier: Classifier
    part: Part
    train: TrainParams
    world: World
    waited: float = 0.0
    _memory: Tensor | None = None

    def epoch(self, epoch: int, done: int = 0) -> Iterator[tuple[int, Iterator[tuple[Tensor, Tensor]]]]:
        """The batches of `epoch` (from 0) after the first `done`: number of images, and this process's micro-batches.

        A micro-batch is normalized images (b, C, H, W) with labels (b,) or, if images are mixed, probabilities (b, K);
        the next one reuses its memory.
        """
        batches = self.order(epoch).split(self.train.batch_size)[done:]
        micro_batches = [micro_batch for batch in batches for micro_batch in self._micro_batches(batch)]
        loaded = self._loaded(epoch, micro_batches, self._after(epoch))
        on_cpu = self.classifier.device.type == "cpu"
        for step, batch in enumerate(batches, start=done):
            # torch.manual_seed also seeds accelerators, which takes time even on a machine without one.
            seed_all = torch.default_generator.manual_seed if on_cpu else torch.manual_seed
            seed_all(seed_of(self.train.seed, "dropout", epoch, step, self.world.rank))
            of_this_batch = islice(loaded, self.train.grad_accum_steps)
            yield len(batch), self._timed(self.varied(of_this_batch, len(batch), epoch, step))

    def first(self) -> tuple[Tensor, Tensor]:
        """The images and targets of the first micro-batch, as `epoch` yields them; for a figure."""
        _, micro_batches = next(self.epoch(0))
        return next(micro_batches)

    def order(self, epoch: int) -> Tensor:
        if isinstance(self.part, Streamed):
            return self.part.shuffled(self.train.seed, epoch, self.train.batch_size)
        generator = seeded(self.train.seed, "order", epoch)
        if self.train.sampler == "balanced":
            return balanced_order(self.part.labels, generator)
        return torch.randperm(len(self.part), generator=generator)

    def _loaded(
        self, epoch: int, micro_batches: list[Tensor], then: Iterator[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        return self.part.batches(micro_batches, then)

    def _after(self, epoch: int) -> Iterator[Tensor]:
        """The micro-batches of the next epoch, drawn only when they are asked for."""
        if epoch + 1 < self.train.epochs:
            for batch in self.order(epoch + 1).split(self.train.batch_size):
                yield from self._micro_batches(batch)

    def _micro_batches(self, batch: Tensor) -> tuple[Tensor, ...]:
        return self.world.share(batch).tensor_split(self.train.grad_accum_steps)

    def varied(self, loaded: Iterator, count: int, epoch: int, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Augment the micro-batches `loaded`; draws are made for all `count` images of the batch."""
        classifier, settings, seed = self.classifier, self.train.augment, self.train.seed
        size, device = tuple(classifier.config["image_size"]), classifier.device
        changes = draw_changes(count, settings, partial(seeded, seed, "changes", epoch, step))
        start = self.world.bounds(count).start
        for number, (images, labels) in enumerate(loaded):
            images, labels = to_device(images, device), to_device(labels, device)
            mine = changes.of(slice(start, start + len(images)))
            start += len(images)
            x = self._memory = augment(images, mine, size, classifier.mean, classifier.std, out=self._memory)
            draws = partial(seeded, seed, "mixing", epoch, step, self.world.rank, number)
            yield mix(x, labels, len(classifier.classes), settings, draws)

    def _timed(self, items: Iterator) -> Iterator:
        while True:
            began = time.perf_counter()
            item = next(items, None)
            self.waited += time.perf_counter() - began
            if item is None:
                return
            yield item


def first_batch(feed: Feed) -> dict[str, Tensor]:
    """The first training batch, for a figure: `images` uint8 (B, H, W, C) and their class probabilities `shares`,
    float32 (B, K); at most SHOWN images."""
    x, targets = (values[:SHOWN] for values in feed.first())
    classifier = feed.classifier
    x = x * x.new_tensor(classifier.std)[:, None, None] + x.new_tensor(classifier.mean)[:, None, None]
    if targets.ndim == 1:
        targets = F.one_hot(targets, len(classifier.classes))
    pixels = (255 * x).round().clamp(0, 255).to(torch.uint8)
    return {"images": pixels.permute(0, 2, 3, 1).contiguous().cpu(), "shares": targets.float().contiguous().cpu()}
