"""Contact sheets: samples of each class, and pairs of near duplicates that lie in different splits."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.data.audit.scan import Drawn
from vit.data.images import decode
from vit.data.manifest import Row
from vit.files import replacing

TILE = 112  # pixels, square
CAPTION = 16  # pixels below a tile
SAMPLES, CLASSES = 8, 40
FONT_SIZE = 11


def sample_sheet(path: Path, raw: Path, rows: list[Row], drawn: Drawn) -> None:
    """One line per class (of the first 40): up to 8 images, evenly spaced in the order of their paths."""
    lines = []
    members_of: dict[str, list[Row]] = {}
    for row in rows:
        members_of.setdefault(row.label, []).append(row)
    for _, members in sorted(members_of.items())[:CLASSES]:
        chosen = np.linspace(0, len(members) - 1, min(SAMPLES, len(members))).round().astype(int)
        lines.append([(members[index].path, members[index].path) for index in chosen])
    _save(path, raw, lines, drawn)


def pair_sheet(path: Path, raw: Path, pairs: list[tuple[str, str]], part: str, drawn: Drawn) -> None:
    """Two pairs a line: the image in train, then the one in `part`."""
    tiles = [
        (path, f"{of} {Path(path).name}") for pair in pairs for of, path in zip(("train", part), pair, strict=True)
    ]
    _save(path, raw, [tiles[start : start + 4] for start in range(0, len(tiles), 4)], drawn)


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
