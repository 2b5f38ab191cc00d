"""Contact sheets: samples of each class, and near duplicates that lie in different splits."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.data.audit.findings import Findings
from vit.data.audit.scan import Drawn
from vit.data.images import decode
from vit.data.manifest import Row
from vit.files import replacing

TILE = 112  # pixels, square
CAPTION = 16  # pixels below a tile
SAMPLES, CLASSES, PAIRS = 8, 40, 12
FONT_SIZE = 11
ROWS_AT_ONCE = 256


def sample_sheet(path: Path, raw: Path, rows: list[Row], drawn: Drawn) -> None:
    """One line per class (of the first 40): up to 8 images, evenly spaced in the order of their paths."""
    lines = []
    for label in sorted({row.label for row in rows})[:CLASSES]:
        members = [row for row in rows if row.label == label]
        chosen = np.linspace(0, len(members) - 1, min(SAMPLES, len(members))).round().astype(int)
        lines.append([(members[index].path, members[index].path) for index in chosen])
    _save(path, raw, lines, drawn)


def pair_sheet(path: Path, raw: Path, pairs: list[tuple[str, str]], part: str, drawn: Drawn) -> None:
    """Two pairs a line: the image in train, then the one in `part`."""
    tiles = [
        (path, f"{of} {Path(path).name}") for pair in pairs for of, path in zip(("train", part), pair, strict=True)
    ]
    _save(path, raw, [tiles[start : start + 4] for start in range(0, len(tiles), 4)], drawn)


def torn_pairs(findings: Findings, parts: dict[str, list[Row]], part: str) -> list[tuple[str, str]]:
    """Paths of near duplicates in train and in `part`, at most 12, most similar first, each image in one pair."""
    position = {row.path: index for index, row in enumerate(findings.rows)}
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for side, of in enumerate(("train", part)):
        for index in (position[row.path] for row in parts[of]):
            groups.setdefault(int(findings.groups[index]), ([], []))[side].append(index)
    thumbnails = findings.scan.thumbnails.reshape(len(findings.rows), -1)
    candidates = [found for ones, others in groups.values() if ones for found in _nearest(thumbnails, ones, others)]
    pairs: list[tuple[int, int]] = []
    shown: set[int] = set()
    for _, one, other in sorted(candidates):
        if len(pairs) < PAIRS and not shown & {one, other}:
            pairs.append((one, other))
            shown |= {one, other}
    return [(findings.rows[one].path, findings.rows[other].path) for one, other in pairs]


def _nearest(thumbnails: np.ndarray, ones: list[int], others: list[int]) -> Iterator[tuple[float, int, int]]:
    """(squared distance, one, other) for each of `others` with its nearest of `ones`; at most as many as are shown.

    Distances are integers, so float64 is exact. Listing all pairs of a large group would take too long.
    """
    known = thumbnails[ones].astype(np.float64)
    for start in range(0, len(others), ROWS_AT_ONCE):
        asked = thumbnails[others[start : start + ROWS_AT_ONCE]].astype(np.float64)
        distances = np.square(asked).sum(axis=1)[:, None] - 2 * asked @ known.T + np.square(known).sum(axis=1)
        for other, row in zip(others[start : start + ROWS_AT_ONCE], distances, strict=True):
            for index in np.argsort(row, kind="stable")[:PAIRS].tolist():
                yield float(row[index]), ones[index], other


def _save(path: Path, raw: Path, lines: list[list[tuple[str, str]]], drawn: Drawn) -> None:
    """Lines of (image, caption) as one PNG."""
    columns = max(len(line) for line in lines)
    sheet = Image.new("RGB", (columns * TILE, len(lines) * (TILE + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    for row, line in enumerate(lines):
        for column, (image, caption) in enumerate(line):
            corner = (column * TILE, row * (TILE + CAPTION))
            tile = _within(decode(raw / image, "RGB", TILE, **drawn._asdict()).image)
            sheet.paste(tile, (corner[0] + (TILE - tile.width) // 2, corner[1] + (TILE - tile.height) // 2))
            draw.text((corner[0] + 2, corner[1] + TILE), _shortened(caption, font), fill="black", font=font)
    with replacing(path) as temporary:
        sheet.save(temporary, format="png", optimize=True)


def _within(image: Image.Image) -> Image.Image:
    """Scaled to fit a tile with its proportions; small images are enlarged without smoothing, so that pixels show."""
    factor = (TILE - 4) / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX)


def _shortened(text: str, font) -> str:
    """The end of a text as far as it fits below a tile."""
    text = " ".join(text.split())  # the width of a name with a line break is not defined
    while font.getlength(text) > TILE - 4:
        text = f"…{text.lstrip('…')[1:]}"
    return text
