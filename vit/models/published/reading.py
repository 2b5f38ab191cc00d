"""Reading safetensors files without torch: names and shapes from the header, tensors one by one as float32."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "U8": np.uint8}


class TensorFile(Mapping[str, np.ndarray]):
    """The tensors of a safetensors file, each read when it is asked for; numpy alone knows no bfloat16.

    Raises KeyError for an unknown name, ValueError for a type of numbers that weights do not have.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        self._header = header
        self._bytes = np.memmap(path, np.uint8, "r", offset=8 + size)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return {name: tuple(entry["shape"]) for name, entry in self._header.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._header[name]
        start, stop = entry["data_offsets"]
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"{name} holds numbers of type {entry['dtype']}")
        value = np.frombuffer(bytearray(self._bytes[start:stop]), DTYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":  # the upper half of a float32
            value = (value.astype(np.uint32) << 16).view(np.float32)
        return value.astype(np.float32, copy=False).reshape(entry["shape"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._header)

    def __len__(self) -> int:
        return len(self._header)
