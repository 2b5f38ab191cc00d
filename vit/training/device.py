"""Choosing device, precision, attention kernel and thread count; `auto` is a table of rules."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from vit.config.model import family_named
from vit.config.schema import ModelParams, TrainParams
from vit.errors import UserError
from vit.training.distributed import World

ImageSize = Sequence[int]  # height and width in pixels


@dataclass(frozen=True)
class Compute:
    """The resolved `auto` choices, and everything else that affects the last bits of the weights."""

    device: str
    precision: str
    attention: str
    compile: bool
    threads: int
    processes: int
    torch: str

    @property
    def device_type(self) -> str:
        return torch.device(self.device).type

    def __str__(self) -> str:
        several = f"{self.processes} processes on " if self.processes > 1 else ""
        compiled = ", compiled" if self.compile else ""
        attention = "" if self.attention == "none" else f", {self.attention} attention"
        return f"{several}{self.device}, {self.precision}{attention}, {self.threads} threads{compiled}"


@dataclass(frozen=True)
class Rule:
    """Precision and attention kernel for a device type, if `applies` holds for the model and its image size."""

    device: str
    applies: Callable[[ModelParams, ImageSize], bool]
    precision: str
    attention: str
    why: str


def _shrinks_to_one_position(model: ModelParams, image_size: ImageSize) -> bool:
    return max(image_size) <= family_named(model.name).bfloat16_above


def _gains_by_bfloat16(model: ModelParams, image_size: ImageSize) -> bool:
    supported = torch.cpu.get_capabilities()
    is_native = bool(supported.get("amx_bf16") or supported.get("avx512_bf16"))
    return is_native and not family_named(model.name).is_narrow(model)


def _has_bfloat16(model: ModelParams, image_size: ImageSize) -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _always(model: ModelParams, image_size: ImageSize) -> bool:
    return True


# The first rule that applies wins. Those for the CPU are checked by benchmarks/train.py.
RULES = (
    Rule(
        "cpu",
        _shrinks_to_one_position,
        "float32",
        "math",
        "bfloat16 gradients are unreliable where convolutions end in a single position",
    ),
    Rule("cpu", _gains_by_bfloat16, "bfloat16", "math", "AMX or AVX-512 multiplies bfloat16 natively"),
    Rule("cpu", _always, "float32", "math", "the fused kernel's backward is slow on a CPU"),
    Rule("cuda", _has_bfloat16, "bfloat16", "fused", "tensor cores support bfloat16"),
    Rule("cuda", _always, "float16", "fused", "tensor cores support float16 but not bfloat16"),
    Rule("mps", _always, "float32", "fused", "half precision gains little on Apple GPUs"),
    Rule("xpu", _always, "bfloat16", "fused", "XMX engines support bfloat16"),
)


def find_device(asked: str, local_rank: int = 0) -> torch.device:
    """For `auto` the available accelerator (CUDA, MPS, XPU) or else the CPU, otherwise the device asked for.

    Process `local_rank` of this machine gets the accelerator with that number. Raises UserError if it does not exist.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    device = (accelerator or torch.device("cpu")) if asked == "auto" else torch.device(asked)
    if device.type == "cpu":
        return device
    if accelerator is None or accelerator.type != device.type:
        raise UserError(
            f"device '{asked}' is not available on this machine (it has {accelerator or 'no accelerator'}); "
            "use auto or cpu"
        )
    index, count = local_rank or device.index or 0, torch.accelerator.device_count()
    if index >= count:
        raise UserError(
            f"device '{device.type}:{index}' is not available on this machine (it has {count} {device.type})"
        )
    return torch.device(device.type, index) if local_rank or device.index is not None else device


def choose(train: TrainParams, model: ModelParams, image_size: ImageSize, world: World) -> tuple[Compute, str]:
    """Resolve every `auto` for this machine, model and image size (height, width); also return the reason as text."""
    device = find_device(train.device, world.local_rank)
    rule = next(rule for rule in RULES if rule.device == device.type and rule.applies(model, image_size))
    has_attention = family_named(model.name).has_attention
    choices = ("precision", "attention") if has_attention else ("precision",)
    chosen = [name for name in choices if getattr(train, name) == "auto"]
    attention = rule.attention if train.attention == "auto" else train.attention
    compute = Compute(
        device=device.type if world.is_group else str(device),
        precision=rule.precision if train.precision == "auto" else train.precision,
        attention=attention if has_attention else "none",
        compile=train.compile,
        threads=train.threads if isinstance(train.threads, int) else world.threads,
        processes=world.size,
        torch=str(torch.__version__),
    )
    return compute, f"auto {' and '.join(chosen)}: {rule.why}" if chosen else "no auto"


def for_a_head(compute: Compute, train: TrainParams) -> tuple[Compute, str]:
    """The same with `auto` resolved for training the head alone: one thread and float32; and the reason as text."""
    threads = 1 if train.threads == "auto" else compute.threads
    precision = "float32" if train.precision == "auto" else compute.precision
    why = "a head's products take less time than to share them between threads, or to convert them"
    return replace(compute, threads=threads, precision=precision), why


def apply(compute: Compute) -> None:
    """Set threads and deterministic kernels for this process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this setting
    torch.set_num_threads(compute.threads)
    torch.backends.cudnn.benchmark = False
    # With warnings only, CUDA's attention kernels keep their default, whose backward pass sums in any order.
    is_strict = compute.device_type == "cuda" and compute.attention == "fused"
    torch.use_deterministic_algorithms(True, warn_only=not is_strict)
    # By default every new tensor would be filled first, which takes a tenth of a step on a CPU.
    # pyrefly: ignore[missing-attribute]  # the module replaces its class by one with this property
    torch.utils.deterministic.fill_uninitialized_memory = False
