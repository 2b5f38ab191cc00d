"""Convolutional baselines for the Vision Transformer, trained by the same loop."""

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vit.errors import UserError

WIDTHS = (32, 64, 128, 256)
# In training they also return the logits of auxiliary heads, unless told not to.
WITH_AUXILIARY = ("googlenet", "inception_v3")


class SmallCNN(nn.Module):
    """Normalized images (B, C, H, W) to class logits (B, num_classes), with 0.39 M parameters.

    Four 3x3 convolutions with batch norm and ReLU, of which all but the first halve the image, then global average
    pooling and a linear head.
    """

    def __init__(self, in_chans: int, num_classes: int):
        super().__init__()
        widths = zip((in_chans, *WIDTHS), WIDTHS, strict=False)
        self.features = nn.Sequential(
            *(_conv_norm_relu(*pair, stride=1 if index == 0 else 2) for index, pair in enumerate(widths))
        )
        self.head = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


def torchvision_model(name: str, image_size: Sequence[int], in_chans: int, num_classes: int) -> nn.Module:
    """A torchvision classifier, unchanged and without pretrained weights.

    For `in_chans` 1 the filters of the first convolution are summed over the colours, so that its outputs equal those
    for an RGB image with three equal channels. Raises UserError if the model does not exist, or does not accept images
    of `image_size` (height, width).
    """
    from torchvision import models  # late: the import costs seconds

    known = models.list_models(module=models)
    if name not in known:
        near = ", ".join(f"torchvision/{one}" for one in difflib.get_close_matches(name, known, n=3, cutoff=0))
        raise UserError(f"model.name is 'torchvision/{name}', which torchvision does not have; similar names: {near}")
    options = {"aux_logits": False, "init_weights": True} if name in WITH_AUXILIARY else {}
    model = models.get_model(name, weights=None, num_classes=num_classes, **options)
    if in_chans == 1:
        first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
        first.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
        first.in_channels = 1
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, in_chans, *image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        height, width = image_size
        raise UserError(
            f"model.name 'torchvision/{name}' does not accept images of {height}x{width} pixels ({error}); "
            "choose another pack.image_size or model.name"
        ) from error
    return model.train()


def _conv_norm_relu(in_chans: int, out_chans: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(in_chans, out_chans, kernel_size=3, stride=stride, padding=1, bias=False)  # the batch norm has one
    return nn.Sequential(conv, nn.BatchNorm2d(out_chans), nn.ReLU(inplace=True))
