"""Packed images to varied model input: what was drawn for each image is made on the batch, on the device.

By hand, because torchvision's transforms change a whole batch alike or take images one by one: batches of 64 at 224x224
pixels are 4 times as fast as its transforms.v2 one by one (benchmarks/data.py).
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.config.schema import AugmentParams
from vit.data.augmentation.changes import Changes, draw_boxes, draw_shares
from vit.data.batches import normalize, to_device

GREY = 0.5
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and torchvision turn colours to grey
# Bytes of float32 that a CPU works on at a time: what is larger leaves the cache, and blocks above 32 MB are new memory
# at each call, whose page faults alone double the time.
PIECE = 8_000_000


def augment(
    images: Tensor,
    changes: Changes,
    size: tuple[int, int],
    mean: list[float],
    std: list[float],
    out: Tensor | None = None,
) -> Tensor:
    """Packed uint8 (B, H', W', C) to varied and normalized float (B, C, H, W), `size` (H, W), each image on its own.

    Crop, flip, rotation, scale, shift and shear are one resampling of the packed image (bilinear, edges repeated); an
    image that is only cropped and flipped keeps its pixels. `out` is the result of an earlier call whose memory may be
    used again, which saves a third of the time of large batches on a CPU.
    """
    B, packed_height, packed_width, C = images.shape
    if out is None or len(out) < B:
        out = torch.empty(B, C, *size, device=images.device)
    out = out[:B]
    step = max(1, PIECE // (4 * C * packed_height * packed_width)) if images.device.type == "cpu" else B
    for start in range(0, B, step):
        piece = slice(start, start + step)
        _vary(images[piece], changes.of(piece), mean, std, out[piece])
    return out


def _vary(images: Tensor, changes: Changes, mean: list[float], std: list[float], out: Tensor) -> None:
    """Write what `changes` make of packed images to `out` (B, C, H, W), normalized."""
    x = _move(images, changes, *out.shape[2:])
    device = x.device
    for rows, bits in _each(changes.bits < 8, changes.bits, device):
        step = (2 ** (8 - bits))[:, None, None, None]
        x[rows] = (x[rows] / step).floor() * step
    for rows, threshold in _each(changes.threshold < 1, changes.threshold, device):
        x[rows] = torch.where(x[rows] >= 255 * threshold[:, None, None, None], 255 - x[rows], x[rows])
    if (changes.factors != 1).any():
        _colour(x, to_device(changes.factors, device), mean, std, out)
    else:
        out.copy_(normalize(x.div_(255), mean, std))
    grey = normalize(out.new_full((len(mean), 1, 1), GREY), mean, std)
    for rows, boxes in _each(changes.erased.any(dim=1), changes.erased, device):
        out[rows] = torch.where(_inside(boxes, *out.shape[2:]), grey, out[rows])


def _each(chosen: Tensor, values: Tensor, device: torch.device) -> Iterator[tuple[slice | Tensor, Tensor]]:
    """Which of a batch are `chosen` (B,), and their `values`: one by one on a CPU, else all at once, in few kernels."""
    indices = chosen.nonzero()[:, 0]
    if device.type == "cpu":
        yield from ((slice(i, i + 1), values[i : i + 1]) for i in indices.tolist())
    elif len(indices):
        yield to_device(indices, device), to_device(values[indices], device)


def _inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Bool (B, 1, height, width): which pixels lie in the image's box, of (B, 4) top, bottom, left, right."""
    top, bottom, left, right = boxes[:, :, None].unbind(dim=1)  # (B, 1)
    row, column = torch.arange(height, device=boxes.device), torch.arange(width, device=boxes.device)
    rows, columns = (top <= row) & (row < bottom), (left <= column) & (column < right)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _move(images: Tensor, changes: Changes, height: int, width: int) -> Tensor:
    """Crop, flip or resample packed images to (B, C, height, width), still from 0 to 255."""
    moved = changes.moved
    if moved.all():
        return _resample(_to_planes(images), to_device(changes.affine, images.device), height, width)
    # Channels side by side still: the product in _colour puts them apart on its way.
    x = _crop(images, changes, height, width).permute(0, 3, 1, 2).float()
    if moved.any():
        rows, affine = to_device(moved.nonzero()[:, 0], x.device), to_device(changes.affine[moved], x.device)
        x[rows] = _resample(_to_planes(images[rows]), affine, height, width)
    return x


def _to_planes(images: Tensor) -> Tensor:
    """Float (B, C, H, W) with each channel in one piece of memory, which resampling is faster on."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def _crop(images: Tensor, changes: Changes, height: int, width: int) -> Tensor:
    """Bytes (B, height, width, C), by copies of windows on a CPU, else by one gathering of pixels."""
    if images.device.type != "cpu":
        corner, flip = to_device(changes.corner, images.device), to_device(changes.flip, images.device)
        row, column = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        rows, columns = corner[:, :1] + row, corner[:, 1:] + torch.where(flip[:, None], width - 1 - column, column)
        image = torch.arange(len(images), device=images.device)[:, None, None]
        return images[image, rows[:, :, None], columns[:, None, :]]
    windows = []
    for image, (top, left), flip in zip(images, changes.corner.tolist(), changes.flip.tolist(), strict=True):
        window = image[top : top + height, left : left + width]
        windows.append(window.flip(1) if flip else window)
    return torch.stack(windows)


def _resample(x: Tensor, affine: Tensor, height: int, width: int) -> Tensor:
    places = F.affine_grid(torch.eye(2, 3, device=x.device)[None], [1, 1, height, width], align_corners=False)
    places = F.pad(places.view(1, -1, 2), (0, 1), value=1.0).expand(len(x), -1, -1)  # (B, H W, 3): x, y, 1
    grid = places.bmm(affine.mT).view(len(x), height, width, 2)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _colour(x: Tensor, factors: Tensor, mean: list[float], std: list[float], out: Tensor) -> None:
    """Brightness, contrast about the mean grey and saturation of x (B, C, H, W), 0 to 255, to `out`, normalized.

    Each of them is affine in the colour, and so is normalization: all are one 3x3 matrix and an offset per image.
    One channel is its own grey, and saturation leaves it.
    """
    C = x.shape[1]
    brightness, contrast, saturation = factors[:, :, None, None].unbind(dim=1)  # (B, 1, 1)
    luma = to_device(torch.tensor(LUMA if C == 3 else [1.0]), x.device)
    centre, spread = (to_device(torch.tensor(values), x.device)[:, None] for values in (mean, std))  # (C, 1)
    matrix = brightness * contrast / 255 * (saturation * torch.eye(C, device=x.device) + (1 - saturation) * luma)
    torch.bmm(matrix / spread, x.flatten(2), out=out.flatten(2))
    grey = luma @ (out.mean(dim=(2, 3))[..., None] * spread)  # (B, 1), times brightness and contrast
    out.add_((((1 / contrast - 1) * grey[:, None] - centre) / spread)[..., None])
    for channel, (middle, deviation) in enumerate(zip(mean, std, strict=True)):
        out[:, channel].clamp_((0 - middle) / deviation, (1 - middle) / deviation)


def mix(
    x: Tensor, labels: Tensor, classes: int, settings: AugmentParams, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix each image (B, C, H, W) with its neighbour in the batch; labels (B,) become probabilities (B, classes).

    Zhang et al. 2018, "mixup": a weighted sum; Yun et al. 2019, "CutMix": a rectangle of the neighbour. Each image has
    its own share, Beta(alpha, alpha), alpha as in timm; if both are on, each batch gets either with probability 1/2.
    Changes `x` in place.
    """
    cut, shares = draw_shares(len(x), settings, generator)
    others = x.roll(1, dims=0)
    if cut:
        boxes = draw_boxes(shares, x.shape[2:], generator)
        for rows, box in _each(shares < 1, boxes, x.device):
            x[rows] = torch.where(_inside(box, *x.shape[2:]), others[rows], x[rows])
        area = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
        shares = 1 - area / x[0, 0].numel()
    shares = to_device(shares, x.device)
    if not cut:
        x.lerp_(others, (1 - shares)[:, None, None, None])
    own = F.one_hot(labels, classes).float()
    return x, torch.lerp(own.roll(1, dims=0), own, shares[:, None])
