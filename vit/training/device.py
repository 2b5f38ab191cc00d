"""Which device, precision, attention kernel and thread count a training uses; `auto` is a table of rules."""

import os
from dataclasses import dataclass

import torch

from vit.errors import UserError
from vit.params import ModelParams, TrainParams


@dataclass(frozen=True)
class Compute:
    """What `auto` came to; all of it changes the last bits of the weights."""

    device: str
    precision: str
    attention: str
    threads: int
    torch: str


def find_device(asked: str) -> torch.device:
    """The accelerator there is (CUDA, MPS, XPU) or the CPU for `auto`, else the one asked for.

    Raises UserError if that one is absent.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if asked == "auto":
        return accelerator or torch.device("cpu")
    device = torch.device(asked)
    if device.type == "cpu":
        return device
    if accelerator is None or accelerator.type != device.type:
        raise UserError(
            f"device '{asked}' is not on this machine (it has {accelerator or 'no accelerator'}); use auto or cpu"
        )
    if (device.index or 0) >= torch.accelerator.device_count():
        raise UserError(f"device '{asked}' is not on this machine (it has {torch.accelerator.device_count()})")
    return device


def choose(train: TrainParams, model: ModelParams) -> Compute:
    """Resolve every `auto` for this machine and this size of model.

    On a CPU the written-out attention is faster than the fused kernel, whose backward is slow there, and
    bfloat16 pays from width 128 on where the processor multiplies it natively.
    """
    device = find_device(train.device)
    on_cpu = device.type == "cpu"
    if train.precision != "auto":
        precision = train.precision
    elif on_cpu:
        precision = "bf16" if model.embed_dim >= 128 and torch.cpu.get_capabilities().get("amx_bf16") else "fp32"
    else:
        precision = (
            "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
        )
    attention = train.attention if train.attention != "auto" else "math" if on_cpu else "fused"
    threads = train.threads if train.threads != "auto" else torch.get_num_threads()
    return Compute(str(device), precision, attention, threads, str(torch.__version__))


def apply(compute: Compute) -> None:
    """Set threads and deterministic kernels for this process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its results only so
    torch.set_num_threads(compute.threads)
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
