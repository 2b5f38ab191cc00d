"""Input: samples per second from 1280x720 JPEGs, or from packed arrays, to a normalized batch of 64 at 224x224 pixels.

    python -m benchmarks.data --frames FOLDER_OF_JPEGS --out benchmarks/data.json

The peer is what tutorials write: open with Pillow, RandomResizedCrop, TrivialAugmentWide, flip, ToTensor, Normalize.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.transforms import v2

from benchmarks.rows import compare, report
from vit.data.augment import augment
from vit.data.batches import Packed
from vit.data.images import load_image
from vit.params import AugmentParams

FRAME = (1280, 720)  # pixels, width and height
SIZE, PACKED = (224, 224), (256, 256)
BATCH = 64
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
NOTHING = dict.fromkeys(AugmentParams.model_fields, 0.0)
COLOUR = NOTHING | {"hflip": 0.5, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
AFFINE = {"degrees": 15.0, "scale": 0.1, "translate": 0.05, "shear": 5.0}
CROP_FLIP_COLOUR = AugmentParams(**COLOUR)
EVERYTHING = AugmentParams(**COLOUR | AFFINE | {"erasing": 0.25})

TUTORIAL = transforms.Compose(
    [
        transforms.RandomResizedCrop(SIZE, scale=(0.8, 1.0)),
        transforms.TrivialAugmentWide(),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
)
ONE_BY_ONE = v2.Compose(
    [
        v2.RandomCrop(SIZE),
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(15, (0.05, 0.05), (0.9, 1.1), 5, interpolation=v2.InterpolationMode.BILINEAR),
        v2.ColorJitter(0.2, 0.2, 0.2),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
        v2.RandomErasing(0.25),
    ]
)


class Frames(torch.utils.data.Dataset):
    """JPEG files as a tutorial reads them."""

    def __init__(self, files: list[Path], count: int):
        self.files, self.count = files, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.files[index % len(self.files)]) as image:
            return TUTORIAL(image.convert("RGB"))


def enlarge(files: list[Path], folder: Path) -> list[Path]:
    """The frames at the size of the original videos, as JPEGs in `folder`."""
    enlarged = []
    for index, file in enumerate(files):
        enlarged.append(folder / f"{index:05d}.jpg")
        with Image.open(file) as image:
            image.convert("RGB").resize(FRAME, Image.Resampling.BICUBIC).save(enlarged[-1], quality=90)
    return enlarged


def pack(files: list[Path], folder: Path, count: int) -> Packed:
    """`count` packed images on disk, the files over and over."""
    decoded = [load_image(file, PACKED, 3, "crop") for file in files]
    np.save(folder / "train_images.npy", np.stack([decoded[index % len(files)] for index in range(count)]))
    np.save(folder / "train_labels.npy", np.zeros(count, dtype=np.int64))
    return Packed.load(folder, "train")


def seconds(work: Iterator) -> float:
    began = time.perf_counter()
    for _ in work:
        pass
    return time.perf_counter() - began


def ours(part: Packed, settings: AugmentParams, batches: int) -> Callable[[], float]:
    """Samples per second through `batches` shuffled batches, as the training loop asks for them."""

    def work() -> Iterator[None]:
        generator, x = torch.Generator().manual_seed(0), None
        endless = chain.from_iterable(part.shuffled(BATCH, generator) for _ in repeat(None))
        for images, _ in islice((pair for pair in endless if len(pair[0]) == BATCH), batches):
            x = augment(images, SIZE, MEAN, STD, settings, generator, out=x)
            yield

    return lambda: batches * BATCH / seconds(work())


def tutorial(files: list[Path], batches: int, workers: int) -> Callable[[], float]:
    """Samples per second of the tutorial's DataLoader; workers are running before the clock does."""
    loader = DataLoader(Frames(files, batches * BATCH), BATCH, num_workers=workers, persistent_workers=workers > 0)
    if workers:
        seconds(iter(loader))
    return lambda: batches * BATCH / seconds(iter(loader))


def one_by_one(part: Packed, batches: int) -> Callable[[], float]:
    """Samples per second of torchvision's transforms on packed images, one at a time."""

    def work() -> Iterator[torch.Tensor]:
        for _ in range(batches):
            indices = torch.randint(len(part), (BATCH,)).tolist()
            yield torch.stack([ONE_BY_ONE(part.images[index].permute(2, 0, 1)) for index in indices])

    return lambda: batches * BATCH / seconds(work())


def measure(frames: list[Path], rounds: int, packed_images: int, batches: int) -> list[dict]:
    """All cases; ours goes through ten times the batches of the peer, which is that much slower."""
    with tempfile.TemporaryDirectory() as temporary:
        files = enlarge(frames, Path(temporary))
        part = pack(files, Path(temporary), packed_images)
        colour, everything = (ours(part, settings, 10 * batches) for settings in (CROP_FLIP_COLOUR, EVERYTHING))
        alone, with_workers = (tutorial(files, batches, workers) for workers in (0, 2))
        cases = [
            ("crop, flip, colour", colour, alone, "tutorial, 0 workers", 30),
            ("affine, colour, erasing", everything, alone, "tutorial, 0 workers", 12),
            ("crop, flip, colour", colour, with_workers, "tutorial, 2 workers", 5),
            ("affine, colour, erasing", everything, with_workers, "tutorial, 2 workers", None),
            ("affine, colour, erasing", everything, one_by_one(part, batches), "transforms.v2 on packed images", None),
        ]
        return [compare(*case, rounds) for case in cases]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the input pipeline.")
    parser.add_argument("--frames", type=Path, required=True, help="a folder of JPEGs, searched below too")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--images", type=int, default=300, help="how many of the frames to use")
    parser.add_argument("--packed", type=int, default=1000, help="packed images, the frames over and over")
    parser.add_argument("--batches", type=int, default=4, help="of the peer in each round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    frames = sorted(path for path in arguments.frames.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not frames:
        parser.error(f"no JPEGs in {arguments.frames}")
    chosen = frames[:: max(1, len(frames) // arguments.images)][: arguments.images]
    report(measure(chosen, arguments.rounds, arguments.packed, arguments.batches), arguments.out)


if __name__ == "__main__":
    main()
