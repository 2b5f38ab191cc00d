"""What is checked: the model, optimizer and images that params.yaml describes, set up as the stage train does."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from vit.checks.answer import Clock
from vit.config.schema import AugmentParams, Params, TrainParams
from vit.data.batches import Packed
from vit.data.decoded import Part, pick
from vit.data.images import centre_crop
from vit.data.seeds import seeded
from vit.inference.classifier import Classifier
from vit.training.device import Compute, apply, choose, find_device
from vit.training.distillation import Teacher, student_settings
from vit.training.distributed import World
from vit.training.feed import Feed
from vit.training.initial import initialize
from vit.training.step import TrainingStep

SAMPLED = 1000  # train images that the questions use; 150 MB at 224x224 pixels
NO_AUGMENTATION = AugmentParams()


@dataclass(frozen=True)
class Fit:
    """A model after `steps` on the subset, of which `constant` were at the full rate: its accuracy there, and the norm
    of the weights that decay."""

    classifier: Classifier
    constant: int
    steps: int
    accuracy: float
    norm: float


@dataclass
class Subject:
    """Everything that a question may use; each gets new models and trainings, from the same seed.

    `sample` are some of the `images` train images, as packed, `paths` their files; `init` and `teacher` the folders of
    weights that training starts or learns from, None without; pictures go to `out`.
    """

    params: Params
    config: dict
    compute: Compute
    sample: Packed
    paths: list[str]
    images: int
    out: Path
    clock: Clock
    init: Path | None = None
    teacher: Path | None = None
    fit: Fit | None = field(default=None, init=False)  # set by the question that trains it, for those that use it

    @property
    def classes(self) -> list[str]:
        return self.config["classes"]

    @property
    def device(self) -> torch.device:
        return find_device(self.params.train.device)

    def train(self, **changes: object) -> TrainParams:
        """The section `train`, with changes; not compiled, which would cost a minute per training."""
        return self.params.train.model_copy(update={"compile": False, **changes})

    def plain(self, **changes: object) -> TrainParams:
        """The same without anything that keeps a model from fitting its images: augmentation, decay, a teacher."""
        alone = {"augment": NO_AUGMENTATION, "weight_decay": 0.0, "ema_decay": None}
        return self.train(**alone | {"distillation": "none", "teacher": None} | changes)

    def new_classifier(self, train: TrainParams) -> Classifier:
        """The model as a training begins with it, with a distillation token if `train` has a teacher."""
        torch.manual_seed(self.params.train.seed)
        classifier = Classifier.new(self.config | {"model": student_settings(self.params.model, train)}, self.device)
        if self.init is not None:
            initialize(classifier, self.init)
        return classifier

    def new_step(self, classifier: Classifier, train: TrainParams) -> TrainingStep:
        is_taught = train.distillation != "none"
        teacher = Teacher.load(self.teacher, classifier) if is_taught and self.teacher is not None else None
        return TrainingStep(classifier.model, train, self.compute, World(), teacher)

    def losses(
        self, classifier: Classifier, step: TrainingStep, images: Packed, rates: Iterable[float]
    ) -> Iterator[float]:
        """A step of the training at each learning rate, over as many epochs as that takes; the mean loss of each."""
        feed = Feed(classifier, images.on_device(classifier.device), step.train, World())
        rates = iter(rates)
        for epoch in count():
            for size, pieces in feed.epoch(epoch):
                rate = next(rates, None)
                if rate is None:
                    return
                step.set_training()
                yield step(pieces, size, rate)[0].item() / size

    def cropped(self, images: Packed) -> Packed:
        """Images without the margin for random crops, as the model sees them in evaluation."""
        return Packed(centre_crop(images.images, self.config["image_size"]).contiguous(), images.labels)


def new_subject(
    params: Params, preprocessing: dict, part: Part, paths: list[str], out: Path, clock: Clock, **weights: Path | None
) -> Subject:
    """The subject that `params` describe over the train images `part`, on this machine, set up as training sets it up.

    Raises UserError if the requested device is not available, or an image is not readable.
    """
    compute, _ = choose(params.train, params.model, preprocessing["image_size"], World())
    apply(compute)
    chosen = torch.randperm(len(part), generator=seeded(params.train.seed, "check"))[:SAMPLED].sort().values.tolist()
    sample = Packed(pick(part, chosen), part.labels[chosen])
    config = {**preprocessing, "compute": asdict(compute)}
    return Subject(
        params, config, compute, sample, [paths[index] for index in chosen], len(part), out, clock, **weights
    )


def balanced(images: Packed, most: int) -> list[int]:
    """Indices of at most `most` images, taken in turn from every class that has any left."""
    seen: dict[int, int] = {}
    turns = []
    for index, label in enumerate(images.labels.tolist()):
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], label, index))
    return sorted(index for _, _, index in sorted(turns)[:most])


def chosen(images: Packed, indices: list[int] | Tensor) -> Packed:
    return Packed(images.images[indices], images.labels[indices])
