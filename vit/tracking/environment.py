"""The environment of a training: weights are reproducible byte for byte only on the same type of machine.

It is recorded beside the checkpoints, not in stage outputs, which must be equal on all machines.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "safetensors", "mlflow", "dvc")


def environment(device: str) -> dict:
    """Python, operating system, processor, `device` with its name, and versions; None for a missing package."""
    return {
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "device": named(device),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def differences(then: dict, now: dict) -> list[str]:
    """One phrase for each entry, except the device, that differs now."""
    before, after = ({**one, **one["packages"]} for one in (then, now))
    names = [name for name in before if name not in ("device", "packages") and before[name] != after.get(name)]
    return [f"{name} {before[name]}, here {after.get(name)}" for name in names]


def _processor() -> str:
    details = Path("/proc/cpuinfo")  # on Linux, where platform.processor() is empty
    if details.exists():
        for line in details.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def named(device: str) -> str:
    """The device with its product name."""
    if device == "cpu":
        return device
    import torch  # late: not needed for the CPU

    name = getattr(torch.get_device_module(device), "get_device_name", None)  # MPS has no names
    return f"{device} ({name(device)})" if name else device


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
