"""Curves and attention maps of a training while it goes on, read from its newest checkpoint by whoever watches.

The training makes no call for them and never waits.
"""

import logging
from pathlib import Path

import torch

from vit.config.files import PACKED, RAW, SPLITS
from vit.data.decoded import load_part, pick
from vit.errors import UserError
from vit.evaluation.explain import explanation_maps, explanation_sheet, overlay_png
from vit.files import replacing
from vit.inference.classifier import Classifier
from vit.tracking.progress import Seen, newest_checkpoint
from vit.training.checkpoint import UNREADABLE

log = logging.getLogger("vit")

SHOWN = 8  # val images
SHEETS = Path(".vit/studio/attention")  # below the repo: a folder per training, a PNG per epoch


def load_checkpoint(path: Path) -> dict | None:
    """Its content, mapped into memory, so that only what is looked at is read; None if it is gone or unreadable."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UNREADABLE as error:
        log.debug(f"{path} cannot be watched: {error}")
        return None


def curves(seen: Seen) -> list[dict[str, float]]:
    """A row per epoch: epoch, losses, accuracies, learning rate, images per second and when it ended; [] before."""
    path = newest_checkpoint(seen)
    saved = load_checkpoint(path) if path is not None else None
    if saved is None:
        return []
    progress = saved["progress"]
    rates = seen.record["learning_rates"]
    return [
        {**row, "learning_rate": rate, "images_per_second": clock["images_per_second"], "time": clock["time"]}
        for row, rate, clock in zip(progress["history"], rates, progress["clock"], strict=False)
    ]


def attention_sheets(seen: Seen, root: Path) -> dict[int, Path]:
    """The sheets of attention maps by epoch, oldest first; each shows the same eight val images.

    The newest epoch's is drawn now if it is missing. Epochs that nobody watched have none. Raises UserError if the
    model has no attention, or if only its head is trained.
    """
    folder = root / SHEETS / seen.key
    path = newest_checkpoint(seen)
    if path is not None and seen.state == "running":  # later its folder may hold other images, or be gone
        saved = load_checkpoint(path)
        epoch = len(saved["progress"]["history"]) if saved else 0
        target = folder / f"{epoch:06d}.png"
        if saved and epoch and not target.exists():
            try:
                png = _sheet(seen, saved["step"])
            except FileNotFoundError:  # the run has just ended, and DVC took its folder away
                return _by_epoch(folder)
            with replacing(target) as temporary:
                temporary.write_bytes(png)
    return _by_epoch(folder)


def _by_epoch(folder: Path) -> dict[int, Path]:
    return {int(path.stem): path for path in sorted(folder.glob("[0-9]*.png"))}


def _sheet(seen: Seen, step: dict) -> bytes:
    place = Path(seen.record["folder"])
    part = load_part(place / PACKED, "val", place / RAW, place / SPLITS)
    count = min(SHOWN, len(part))
    chosen = [index * len(part) // count for index in range(count)]  # splits are sorted by class
    images, labels = pick(part, chosen), part.labels[chosen]
    classifier = Classifier.new(seen.record["config"], torch.device("cpu"))
    weights = _weights(step)
    if weights.keys() != classifier.model.state_dict().keys():
        raise UserError("only the head is trained, on stored features, so the attention maps do not change")
    classifier.model.load_state_dict(weights)
    classifier.model.eval()
    predictions = classifier.logits(images).argmax(dim=1)
    maps = explanation_maps(classifier, images, predictions)
    names = classifier.classes
    titles = [
        f"{names[label]}" if label == prediction else f"{names[label]}, predicted {names[prediction]}"
        for label, prediction in zip(labels.tolist(), predictions.tolist(), strict=True)
    ]
    pictures = [overlay_png(image, values) for image, values in zip(images.numpy(), maps, strict=True)]
    return explanation_sheet(pictures, titles)


def _weights(step: dict) -> dict[str, torch.Tensor]:
    """Those that val evaluates: the moving average if there is one."""
    average = step["average"]
    return {name.removeprefix("module."): value for name, value in average.items() if name != "n_averaged"} or step[
        "model"
    ]
