"""Input: samples per second from 1280x720 JPEGs, or from packed arrays, to a normalized batch of 64 at 224x224 pixels;
then images per second of the audit and of packing, against what they have to reach.

    python -m benchmarks.data --frames FOLDER_OF_JPEGS --out benchmarks/data.json

The peer is what tutorials write: open with Pillow, RandomResizedCrop, TrivialAugmentWide, flip, ToTensor, Normalize.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.transforms import v2

from benchmarks.rows import compare, reach, report
from vit.config.schema import AugmentParams, PackParams
from vit.data.audit.duplicates import near_duplicate_groups
from vit.data.audit.frames import frame_numbers
from vit.data.audit.scan import scan
from vit.data.augmentation.apply import augment
from vit.data.augmentation.changes import draw_changes
from vit.data.batches import Packed
from vit.data.images import load_image
from vit.data.manifest import Row
from vit.data.pack import pack_images
from vit.data.seeds import seeded
from vit.files import write_table

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
NOTHING = dict.fromkeys(AugmentParams.model_fields, 0.0)
COLOUR = NOTHING | {"hflip": 0.5, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
AFFINE = {"degrees": 15.0, "scale": 0.1, "translate": 0.05, "shear": 5.0}
CROP_FLIP_COLOUR = AugmentParams(**COLOUR)
EVERYTHING = AugmentParams(**COLOUR | AFFINE | {"erasing": 0.25})


@dataclass(frozen=True)
class Workload:
    """How much is measured: sizes (height, width) in pixels, counts of images."""

    frame: tuple[int, int] = (720, 1280)
    packed: tuple[int, int] = (256, 256)
    size: tuple[int, int] = (224, 224)
    batch: int = 64
    packed_images: int = 1000  # the frames over and over
    batches: int = 3  # of the peer in each round; ours goes through ten times as many
    rounds: int = 5
    processes: int = 2  # that audit and pack


def tutorial_transform(size: tuple[int, int]) -> Callable:
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.8, 1.0)),
            transforms.TrivialAugmentWide(),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def one_image_transform(size: tuple[int, int]) -> Callable:
    """The changes of EVERYTHING by torchvision, for one packed image."""
    return v2.Compose(
        [
            v2.RandomCrop(size),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(15, (0.05, 0.05), (0.9, 1.1), 5, interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(0.2, 0.2, 0.2),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
            v2.RandomErasing(0.25),
        ]
    )


class Frames(torch.utils.data.Dataset):
    """JPEG files as a tutorial reads them, over and over up to `count`."""

    def __init__(self, files: list[Path], count: int, transform: Callable):
        self.files, self.count, self.transform = files, count, transform

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.files[index % len(self.files)]) as image:
            return self.transform(image.convert("RGB"))


def enlarge(files: list[Path], folder: Path, size: tuple[int, int]) -> list[Path]:
    """The frames at the size of the original video, as JPEGs in `folder`."""
    enlarged = []
    for index, file in enumerate(files):
        enlarged.append(folder / f"{index:05d}.jpg")
        with Image.open(file) as image:
            image.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC).save(enlarged[-1], quality=90)
    return enlarged


def pack(files: list[Path], folder: Path, load: Workload) -> Packed:
    """Packed images on disk, memory-mapped."""
    decoded = [load_image(file, load.packed, 3, "crop") for file in files]
    np.save(folder / "train_images.npy", np.stack([decoded[i % len(files)] for i in range(load.packed_images)]))
    np.save(folder / "train_labels.npy", np.zeros(load.packed_images, dtype=np.int64))
    return Packed.load(folder, "train")


def seconds(work: Iterator) -> float:
    began = time.perf_counter()
    for _ in work:
        pass
    return time.perf_counter() - began


def ours(part: Packed, settings: AugmentParams, load: Workload) -> Callable[[], float]:
    """Samples per second through shuffled batches, as the training loop asks for them."""
    batches = 10 * load.batches

    def work() -> Iterator[None]:
        generator, x = torch.Generator().manual_seed(0), None
        orders = [torch.randperm(len(part), generator=generator) for _ in range(batches * load.batch // len(part) + 1)]
        loaded = part.batches(torch.cat(orders)[: batches * load.batch].split(load.batch))
        for step, (images, _) in enumerate(loaded):
            changes = draw_changes(load.batch, settings, partial(seeded, step))
            x = augment(images, changes, load.size, MEAN, STD, out=x)
            yield

    return lambda: batches * load.batch / seconds(work())


def tutorial(files: list[Path], load: Workload, workers: int) -> Callable[[], float]:
    """Samples per second of the tutorial's DataLoader; workers are running before the clock does."""
    count = load.batches * load.batch
    frames = Frames(files, count, tutorial_transform(load.size))
    loader = DataLoader(frames, load.batch, num_workers=workers, persistent_workers=workers > 0)
    if workers:
        seconds(iter(loader))
    return lambda: count / seconds(iter(loader))


def one_by_one(part: Packed, load: Workload) -> Callable[[], float]:
    """Samples per second of torchvision's transforms on packed images, one at a time."""
    transform = one_image_transform(load.size)

    def work() -> Iterator[torch.Tensor]:
        for _ in range(load.batches):
            indices = torch.randint(len(part), (load.batch,)).tolist()
            yield torch.stack([transform(part.images[index].permute(2, 0, 1)) for index in indices])

    return lambda: load.batches * load.batch / seconds(work())


def audited(files: list[Path], load: Workload) -> Callable[[], float]:
    """Images per second that the audit looks at, with what it then compares."""
    folder = files[0].parent
    rows = [Row(f"{folder.name}/{file.name}", folder.name, file.name) for file in files]

    def work() -> float:
        began = time.perf_counter()
        seen = scan(folder.parent, rows, load.processes)
        near_duplicate_groups(seen, frame_numbers(seen.rows))
        return len(rows) / (time.perf_counter() - began)

    return work


def packing(files: list[Path], load: Workload) -> Callable[[], float]:
    """Images per second that are decoded and written, 256x256."""
    settings = PackParams(
        mode="arrays",
        image_size=list(load.packed),
        channels=3,
        fit="crop",
        margin=0.0,
        trim_bars=False,
        workers=load.processes,
    )
    folder = files[0].parent
    write_table(folder / "files.csv", [{"path": file.name} for file in files])

    def work() -> float:
        began = time.perf_counter()
        pack_images(folder, folder / "files.csv", settings, "train", folder / "packed.npy")
        return len(files) / (time.perf_counter() - began)

    return work


def measure(frames: list[Path], load: Workload) -> list[dict]:
    """Every case, as rows."""
    with tempfile.TemporaryDirectory() as temporary:
        files = enlarge(frames, Path(temporary), load.frame)
        small = enlarge(frames, new_folder(Path(temporary) / "small"), (load.frame[0] // 3, load.frame[1] // 3))
        part = pack(files, Path(temporary), load)
        colour, everything = (ours(part, settings, load) for settings in (CROP_FLIP_COLOUR, EVERYTHING))
        alone, with_workers = (tutorial(files, load, workers) for workers in (0, 2))
        cases = [
            ("crop, flip, colour", colour, alone, "tutorial, 0 workers", 30),
            ("affine, colour, erasing", everything, alone, "tutorial, 0 workers", 12),
            ("crop, flip, colour", colour, with_workers, "tutorial, 2 workers", 5),
            ("affine, colour, erasing", everything, with_workers, "tutorial, 2 workers", None),
            ("affine, colour, erasing", everything, one_by_one(part, load), "transforms.v2 on packed images", None),
        ]
        rows = [compare(*case, load.rounds) for case in cases]
        # 5,000 images in 25 s at 240 lines, in 60 s at 720.
        rows.append(reach("audit, 427x240", audited(small, load), 200, load.rounds))
        rows.append(reach("audit, 1280x720", audited(files, load), 83.3, load.rounds))
        rows.append(reach("pack, 1280x720 to 256x256", packing(files, load), 120, load.rounds))
        return rows


def new_folder(path: Path) -> Path:
    path.mkdir()
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the input pipeline.")
    parser.add_argument("--frames", type=Path, required=True, help="a folder of JPEGs, searched below too")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--images", type=int, default=300, help="how many of the frames to use")
    arguments = parser.parse_args()
    frames = sorted(path for path in arguments.frames.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not frames:
        parser.error(f"no JPEGs in {arguments.frames}")
    evenly = frames[:: max(1, len(frames) // arguments.images)][: arguments.images]
    report(measure(evenly, Workload()), arguments.out)


if __name__ == "__main__":
    main()
