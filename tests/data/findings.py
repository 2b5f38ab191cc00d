"""Findings about images that exist only as numbers, and a drawn video: what the tests of splits start from."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.presets import REPO
from vit.config.presets import load_preset
from vit.config.schema import SplitParams
from vit.data.audit.findings import Findings
from vit.data.audit.frames import Frames, frame_numbers
from vit.data.audit.scan import Scan
from vit.data.audit.table import THUMBNAIL, Look, Looks
from vit.data.manifest import Row

SHAPES = load_preset("shapes", REPO / "presets").params.split.model_dump()


def settings(**changes) -> SplitParams:
    """The block `split` of presets/shapes.yaml with some of its values changed."""
    return SplitParams.model_validate(SHAPES | changes)


def row_of(path: str) -> Row:
    return Row(path, path.split("/")[0], path)


def look_of(grey: int = 0, dhash: int = 0, pixels: str = "") -> Look:
    """A picture of one grey, if nothing else is said."""
    thumbnail = np.full((THUMBNAIL, THUMBNAIL, 3), grey, dtype=np.uint8)
    digest = hashlib.sha256((pixels or f"{grey} {dhash}").encode()).hexdigest()
    return Look("PNG", 9, 6, 0.0, digest, dhash, thumbnail, file=digest)


def findings_of(
    rows: list[Row], groups: list[int] | None = None, looks: Iterable[Look] | None = None, frames: Frames | None = None
) -> Findings:
    """What an audit would have found; without `groups`, no image is a near duplicate of another."""
    return Findings(
        scan=Scan(rows, Looks.of(looks or [look_of() for _ in rows]), []),
        frames=frames or frame_numbers(rows),
        groups=np.array(groups if groups is not None else range(len(rows))),
        broken=[],
        copies=[],
        contradictory=[],
    )


def in_order(findings: Findings, order: list[int]) -> Findings:
    """The same images, listed otherwise."""
    frames = findings.frames
    return replace(
        findings,
        scan=findings.scan.only(order),
        frames=replace(frames, series=[frames.series[index] for index in order], numbers=frames.numbers[order]),
        groups=findings.groups[order],
    )


def draw_video(root: Path, shots: int, classes: tuple[str, ...], seed: int = 0) -> list[tuple[str, int]]:
    """A video of 7 to 11 frames a shot, each a class of its own choice; (path below `root`, its shot) per frame.

    A shot has a background that stays and three discs that move by up to a pixel and a half from frame to frame.
    """
    random = np.random.default_rng(seed)
    frames, number = [], 0
    for shot in range(shots):
        label = classes[random.integers(len(classes))]
        coarse = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        background = Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC)
        places = random.uniform((0, 0), (64, 48), (3, 2))
        speeds = random.uniform(-1.5, 1.5, (3, 2))
        colours = random.integers(0, 256, (3, 3)).tolist()
        for _ in range(random.integers(7, 12)):
            picture = background.copy()
            for (x, y), colour in zip(places, colours, strict=True):
                ImageDraw.Draw(picture).ellipse((x - 6, y - 6, x + 6, y + 6), fill=tuple(colour))
            path = root / label / f"frame{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=90)
            frames.append((path.relative_to(root).as_posix(), shot))
            places += speeds
            number += 1
    return sorted(frames)
