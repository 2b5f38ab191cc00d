"""Batches for one process of a training: every random draw is a function of the seed, the epoch and the step."""

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
from vit.inference.classifier import Classifier
from vit.training.balance import balanced_order
from vit.training.distributed import World

SHOWN = 32  # images of the first batch


@dataclass
class Feed:
    """The train part as batches of model input; `waited` sums the seconds for which its reader had to wait.

    A batch is the same whole, cut into `grad_accum_steps` pieces, or divided among processes; only mixup and cutmix mix
    within a piece.
    """

    classifier: Classifier
    part: Part
    train: TrainParams
    world: World
    waited: float = 0.0
    _memory: Tensor | None = None

    def epoch(self, epoch: int, done: int = 0) -> Iterator[tuple[int, Iterator[tuple[Tensor, Tensor]]]]:
        """The batches of `epoch` (from 0) after the first `done`: images of all processes, and this one's pieces.

        A piece is normalized (b, C, H, W), and labels (b,) or, where images are mixed, probabilities (b, K); its memory
        is used again for the next.
        """
        batches = self._order(epoch).split(self.train.batch_size)[done:]
        pieces = [piece for batch in batches for piece in self._pieces(batch)]
        loaded = self.part.batches(pieces)
        on_cpu = self.classifier.device.type == "cpu"
        for step, batch in enumerate(batches, start=done):
            # torch.manual_seed also seeds every accelerator, which takes as long on a machine that has none.
            seed_all = torch.default_generator.manual_seed if on_cpu else torch.manual_seed
            seed_all(seed_of(self.train.seed, "dropout", epoch, step, self.world.rank))
            of_this_batch = islice(loaded, self.train.grad_accum_steps)
            yield len(batch), self._timed(self._varied(of_this_batch, len(batch), epoch, step))

    def _order(self, epoch: int) -> Tensor:
        generator = seeded(self.train.seed, "order", epoch)
        if self.train.sampler == "balanced":
            return balanced_order(self.part.labels, generator)
        return torch.randperm(len(self.part), generator=generator)

    def _pieces(self, batch: Tensor) -> tuple[Tensor, ...]:
        return self.world.share(batch).tensor_split(self.train.grad_accum_steps)

    def _varied(self, loaded: Iterator, count: int, epoch: int, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """What is drawn is drawn for the `count` images of the whole batch, of which `loaded` are this process's."""
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
    """What the model is first trained on, for a person to look at: `images` uint8 (B, H, W, C) and `shares`, float32
    (B, K), of the classes in each; at most SHOWN of them."""
    _, pieces = next(feed.epoch(0))
    x, targets = (values[:SHOWN] for values in next(pieces))
    classifier = feed.classifier
    x = x * x.new_tensor(classifier.std)[:, None, None] + x.new_tensor(classifier.mean)[:, None, None]
    if targets.ndim == 1:
        targets = F.one_hot(targets, len(classifier.classes))
    pixels = (255 * x).round().clamp(0, 255).to(torch.uint8)
    return {"images": pixels.permute(0, 2, 3, 1).contiguous().cpu(), "shares": targets.float().contiguous().cpu()}
