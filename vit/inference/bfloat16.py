"""Inference in bfloat16, several times as fast as float32 on CPUs with AMX or AVX512_BF16."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.models.families import set_channels_last
from vit.models.mlps import Mlp
from vit.models.vision_transformer import set_fused_attention


class PackedLinear(nn.Linear):
    """`linear` for (..., in_features), optionally followed by GELU, its weight packed once instead of at every call.

    It uses oneDNN operators that PyTorch provides for its compiler, and so depends on the pinned PyTorch release. With
    gradients enabled it computes like a plain linear layer.
    """

    def __init__(self, linear: nn.Linear, gelu: bool = False):
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight, self.bias, self.gelu = linear.weight, linear.bias, gelu
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            x = super().forward(input)
            return F.gelu(x) if self.gelu else x
        activation = ("gelu", [], "none") if self.gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, *activation)


def convert(model: nn.Module) -> None:
    """Convert `model` to bfloat16 in place, in the fastest layout for its device; inputs must then be bfloat16."""
    model.to(torch.bfloat16)
    set_channels_last(model)
    is_on_cpu = next(model.parameters()).device.type == "cpu"
    # Without AMX, the fused kernel multiplies bfloat16 half as fast as oneDNN, which the written-out formula calls.
    set_fused_attention(model, not is_on_cpu or bool(torch.cpu.get_capabilities().get("amx_bf16")))
    if is_on_cpu and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        _pack_linears(model)


def _pack_linears(model: nn.Module) -> None:
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear):
                setattr(module, name, PackedLinear(layer, gelu=name == "fc1" and _has_gelu(module)))
        if _has_gelu(module):
            module.act = nn.Identity()


def _has_gelu(module: nn.Module) -> bool:
    return isinstance(module, Mlp) and isinstance(module.act, nn.GELU) and module.act.approximate == "none"
