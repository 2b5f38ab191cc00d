"""Training the head alone on stored features of a frozen model: a linear probe, whose epochs take milliseconds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vit.config.schema import TrainParams
from vit.data.batches import Packed, to_device
from vit.data.decoded import Part, pick
from vit.inference.classifier import Classifier
from vit.inference.features import stored_versions
from vit.training.distributed import World
from vit.training.features import as_they_are
from vit.training.feed import SHOWN, Feed


class Head(nn.Module):
    """The head of a model alone, its weights shared and named as there: features (B, D) to logits (B, classes)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.head = model.get_submodule("head")

    def forward(self, features: Tensor) -> Tensor:
        return self.head(features)


@dataclass
class Probe(Classifier):
    """A classifier of features instead of images: its model is a Head."""

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Features (B, D) to float32 (B, classes), on the CPU."""
        return self.model(images.to(self.device)).float().cpu()


class FeatureFeed(Feed):
    """Features (b, D) in place of images; epochs take turns with the `versions` of the train split.

    `pictures` are its images, `val` the features of the val split.
    """

    def __init__(
        self,
        classifier: Probe,
        versions: list[Packed],
        val: Packed,
        pictures: Part,
        train: TrainParams,
        world: World,
    ):
        super().__init__(classifier, versions[0], train, world)
        self.versions, self.val, self.pictures = versions, val, pictures

    def _loaded(
        self, epoch: int, micro_batches: list[Tensor], then: Iterator[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        return self.versions[epoch % len(self.versions)].batches(micro_batches)

    def varied(self, loaded: Iterator, count: int, epoch: int, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The micro-batches, on the device; their images were varied before their features were computed."""
        device = self.classifier.device
        return ((to_device(features, device), to_device(labels, device)) for features, labels in loaded)

    def first(self) -> tuple[Tensor, Tensor]:
        """The images whose features are in the first micro-batch, normalized (b, C, H, W), and their labels."""
        chosen = self._micro_batches(self.order(0)[: self.train.batch_size])[0][:SHOWN]
        return as_they_are(pick(self.pictures, chosen.tolist()), self.classifier), self.pictures.labels[chosen]


def probe(whole: Classifier, part: Part, val: Part, train: TrainParams, world: World, folder: Path) -> FeatureFeed:
    """The feed that trains the head of `whole` on the features in `folder`, those of the splits `part` and `val`.

    Raises UserError if they are missing. The feed's parameters freeze nothing, because its model is the head.
    """
    versions = stored_versions(folder, "train", part.labels)
    (of_val,) = stored_versions(folder, "val", val.labels)
    head = Probe(Head(whole.model), whole.config, whole.device)
    return FeatureFeed(head, versions, of_val, part, train.model_copy(update={"frozen_layers": 0}), world)
