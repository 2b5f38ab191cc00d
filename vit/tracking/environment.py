"""What a training ran on: weights repeat to the byte on one type of machine only.

It is recorded beside the checkpoints, never in an output of a stage, which is to be the same on every machine.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "safetensors", "mlflow", "dvc")


def environment(device: str) -> dict:
    """Python, operating system, processor, `device` with its name, and versions; None for a package that is absent."""
    return {
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "device": named(device),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def differences(then: dict, now: dict) -> list[str]:
    """One phrase for each entry but the device that is another one now."""
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
    """The device with the name that its maker gave it."""
    if device == "cpu":
        return device
    import torch  # late: who asks about the CPU need not wait for it

    name = getattr(torch.get_device_module(device), "get_device_name", None)  # MPS has no names
    return f"{device} ({name(device)})" if name else device


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
