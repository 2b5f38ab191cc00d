"""Packed images to augmented model input: applies the operations drawn for each image to the batch, on its device.

By hand, because torchvision's transforms change a whole batch alike or take images one by one: batches of 64 at 224x224
pixels are 4 times as fast as its transforms.v2 one by one (benchmarks/data.py).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vit.data.augmentation.changes import Changes
from vit.data.augmentation.colour import Colour, Recolouring, recolour, recolouring_of
from vit.data.augmentation.crop import Flip, corners, cut_out, flipped_axes
from vit.data.augmentation.erasing import Covering, cover
from vit.data.augmentation.geometric import Geometric, affine_of, resample
from vit.data.augmentation.pixelwise import Pixelwise, change_pixels
from vit.data.batches import normalize, to_device

# Bytes of float32 that a CPU works on at a time: more would not fit the cache, and blocks above 32 MB are allocated
# again in each call, whose page faults alone double the time.
PIECE = 8_000_000


class Places(NamedTuple):
    """The area of each packed image that becomes one of B results, as CPU tensors."""

    corner: Tensor  # (B, 2) int64, top and left of the crop, pixels
    flip: Tensor  # (B, 2) bool, rows or columns of the crop are reversed
    moved: Tensor  # (B,) bool: resampled by `affine`; else pixels are copied
    affine: Tensor  # (B, 2, 3) from places in the result to places in the packed image, x and y in [-1, 1]


def augment(
    images: Tensor,
    changes: Changes,
    size: tuple[int, int],
    mean: list[float],
    std: list[float],
    out: Tensor | None = None,
) -> Tensor:
    """Packed uint8 (B, H', W', C) to augmented and normalized float (B, C, H, W), `size` (H, W), each image on its own.

    Crop, flips and all geometric operations are one resampling of the packed image (bilinear, edges repeated); an image
    that is only cropped and flipped keeps its pixels. `out` is the result of an earlier call whose memory may be used
    again, which saves a third of the time of large batches on a CPU.
    """
    B, height, width, C = images.shape
    if out is None or len(out) < B:
        out = torch.empty(B, C, *size, device=images.device)
    out = out[:B]
    places = _places(changes, (height, width), size)
    recolouring = recolouring_of(changes.by(Colour), B, C)
    step = max(1, PIECE // (4 * C * height * width)) if images.device.type == "cpu" else B
    for start in range(0, B, step):
        piece = slice(start, start + step)
        where = Places(*(values[piece] for values in places))
        colours = Recolouring(*(values[piece] for values in recolouring))
        # A separate function, so that each block of images reuses the previous block's memory, still in the cache.
        _change(images[piece], changes.of(piece), where, colours, mean, std, out[piece])
    return out


def _change(
    images: Tensor,
    changes: Changes,
    where: Places,
    colours: Recolouring,
    mean: list[float],
    std: list[float],
    out: Tensor,
) -> None:
    """Write packed images, changed and normalized, to `out` (B, C, H, W)."""
    x = _move(images, where, (out.shape[2], out.shape[3]))
    change_pixels(x, changes.by(Pixelwise))
    if colours.is_changed.any():
        recolour(x, colours, mean, std, out)
    else:
        out.copy_(normalize(x.div_(255), mean, std))
    cover(out, changes.by(Covering), mean, std)


def _places(changes: Changes, packed: tuple[int, int], size: tuple[int, int]) -> Places:
    corner, flip = corners(changes.crop, packed, size), flipped_axes(changes.by(Flip), len(changes.crop))
    return Places(corner, flip, *affine_of(changes.by(Geometric), corner, flip, packed, size))


def _move(images: Tensor, places: Places, size: tuple[int, int]) -> Tensor:
    """Crop, flip or resample packed images to (B, C, *size), still from 0 to 255."""
    moved, device = places.moved, images.device
    if moved.all():
        return resample(_to_planes(images), to_device(places.affine, device), size)
    # Channels are still interleaved: the product in `recolour` separates them.
    x = cut_out(images, places.corner, places.flip, size).permute(0, 3, 1, 2).float()
    if moved.any():
        rows, affine = to_device(moved.nonzero()[:, 0], device), to_device(places.affine[moved], device)
        x[rows] = resample(_to_planes(images[rows]), affine, size)
    return x


def _to_planes(images: Tensor) -> Tensor:
    """Float (B, C, H, W) with each channel contiguous in memory, which makes resampling faster."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
