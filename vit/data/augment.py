"""Packed images to varied model input: what was drawn for each image is made on the batch, on the device.

By hand, because torchvision's transforms change a whole batch alike or take images one by one: batches of 64 at 224x224
pixels are 4 times as fast as its transforms.v2 one by one (benchmarks/data.py).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.data.changes import Changes, draw_boxes, draw_changes, draw_shares
from vit.params import AugmentParams

GREY = 0.5
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and torchvision turn colours to grey
# Bytes of float32 that a CPU works on at a time: what is larger leaves the cache, and blocks above 32 MB are new memory
# at each call, whose page faults alone double the time.
PIECE = 8_000_000


def augment(
    images: Tensor,
    size: tuple[int, int],
    mean: list[float],
    std: list[float],
    settings: AugmentParams,
    generator: torch.Generator,
    out: Tensor | None = None,
) -> Tensor:
    """Packed uint8 (B, H', W', C) to varied and normalized float (B, C, H, W), `size` (H, W), each image on its own.

    Crop, flip, rotation, scale, shift and shear are one resampling of the packed image (bilinear, edges repeated); an
    image that is only cropped and flipped keeps its pixels. `generator` is on the CPU. `out` is the result of an
    earlier call whose memory may be used again, which saves a third of the time of large batches on a CPU.
    """
    B, packed_height, packed_width, C = images.shape
    changes = draw_changes(B, (packed_height, packed_width), size, settings, generator)
    if out is None or len(out) < B:
        out = torch.empty(B, C, *size, device=images.device)
    out = out[:B]
    centre, spread = out.new_tensor(mean)[:, None, None], out.new_tensor(std)[:, None, None]
    step = max(1, PIECE // (4 * C * packed_height * packed_width)) if images.device.type == "cpu" else B
    for start in range(0, B, step):
        piece = slice(start, start + step)
        _vary(images[piece], changes.of(piece), out[piece])
        out[piece].sub_(centre).div_(spread)  # as `normalize`, in place
    return out


def _vary(images: Tensor, changes: Changes, out: Tensor) -> None:
    """Write what `changes` make of packed images to `out` (B, C, H, W), in [0, 1]."""
    height, width = out.shape[2:]
    moved = changes.moved
    if moved.all():
        x = _resample(_to_planes(images), changes.affine, height, width)
    else:
        # Channels side by side still: the product in _colour puts them apart on its way.
        x = _crop(images, changes, height, width).permute(0, 3, 1, 2).float().div_(255)
        if moved.any():
            rows = moved.nonzero()[:, 0].to(images.device)
            x[rows] = _resample(_to_planes(images[rows]), changes.affine[moved], height, width)
    x = _colour(x, changes.factors.to(x.device), out) if (changes.factors != 1).any() else out.copy_(x)
    x.clamp_(0, 1)
    for i in (changes.bits < 8).nonzero()[:, 0].tolist():
        step = 2 ** (8 - int(changes.bits[i]))
        x[i] = (x[i] * 255 / step).floor() * (step / 255)
    for i in (changes.threshold < 1).nonzero()[:, 0].tolist():
        x[i] = torch.where(x[i] >= float(changes.threshold[i]), 1 - x[i], x[i])
    for i in changes.erased.any(dim=1).nonzero()[:, 0].tolist():
        top, bottom, left, right = changes.erased[i].tolist()
        x[i, :, top:bottom, left:right] = GREY


def _to_planes(images: Tensor) -> Tensor:
    """As `to_unit`, with each channel in one piece of memory, which the passes that follow are faster on."""
    x = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return x.div_(255)


def _crop(images: Tensor, changes: Changes, height: int, width: int) -> Tensor:
    windows = []
    for image, (top, left), flip in zip(images, changes.corner.tolist(), changes.flip.tolist(), strict=True):
        window = image[top : top + height, left : left + width]
        windows.append(window.flip(1) if flip else window)
    return torch.stack(windows)


def _resample(x: Tensor, affine: Tensor, height: int, width: int) -> Tensor:
    places = F.affine_grid(torch.eye(2, 3, device=x.device)[None], [1, 1, height, width], align_corners=False)
    places = F.pad(places.view(1, -1, 2), (0, 1), value=1.0).expand(len(x), -1, -1)  # (B, H W, 3): x, y, 1
    grid = places.bmm(affine.to(x.device).mT).view(len(x), height, width, 2)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _colour(x: Tensor, factors: Tensor, out: Tensor) -> Tensor:
    """Brightness, contrast about the mean grey and saturation of x (B, C, H, W), to `out`.

    Each is affine in the colour, so that all are one 3x3 matrix and an offset per image (the identity keeps the bits).
    One channel is its own grey, and saturation leaves it.
    """
    C = x.shape[1]
    brightness, contrast, saturation = factors[:, :, None, None].unbind(dim=1)  # (B, 1, 1)
    luma = x.new_tensor(LUMA if C == 3 else [1.0])
    matrix = brightness * contrast * (saturation * torch.eye(C, device=x.device) + (1 - saturation) * luma)
    torch.bmm(matrix, x.flatten(2), out=out.flatten(2))
    grey = (out.mean(dim=(2, 3)) @ luma)[:, None, None]  # times brightness and contrast; saturation leaves it
    return out.add_(((1 / contrast - 1) * grey)[..., None])


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
        for image, other, (top, bottom, left, right) in zip(x, others, boxes.tolist(), strict=True):
            image[:, top:bottom, left:right] = other[:, top:bottom, left:right]
        area = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
        shares = 1 - area / x[0, 0].numel()
    shares = shares.to(x.device)
    if not cut:
        x.lerp_(others, (1 - shares)[:, None, None, None])
    own = F.one_hot(labels, classes).float()
    return x, torch.lerp(own.roll(1, dims=0), own, shares[:, None])
