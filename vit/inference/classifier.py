"""The classifier for users: weights, settings and the shared preprocessing, loaded from a folder with two files."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from vit.config.files import CONFIG, WEIGHTS
from vit.config.pack import PackParams
from vit.data.batches import normalize, to_unit
from vit.data.formats import called
from vit.data.images import SETTINGS, load_image, settings_of
from vit.data.remarks import Remarks
from vit.errors import UserError
from vit.files import read_json, replacing, write_json
from vit.inference import bfloat16
from vit.models.families import has_attention, new_model
from vit.models.vision_transformer import set_fused_attention

log = logging.getLogger("vit")

NEEDED = (*SETTINGS, "classes", "mean", "std", "model", "compute")
ALWAYS_STORED = ("image_size", "channels", "fit", "margin", "trim_bars")  # since 0.2.0
LATER_SETTINGS = {name: PackParams.model_fields[name].default for name in SETTINGS if name not in ALWAYS_STORED}

# By default CUDA rounds float32 convolutions to 10 bits (TF32); matrix products are exact by default.
torch.backends.cudnn.allow_tf32 = False


@dataclass
class Classifier:
    """A trained model with its class order and preprocessing; in float32, so that predictions are equal everywhere."""

    model: nn.Module
    config: dict
    device: torch.device

    @property
    def classes(self) -> list[str]:
        return self.config["classes"]

    @property
    def mean(self) -> list[float]:
        return self.config["mean"]

    @property
    def std(self) -> list[float]:
        return self.config["std"]

    @property
    def temperature(self) -> float:
        return self.config.get("temperature", 1.0)  # models of early releases have none

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image as the model takes it."""
        height, width = self.config["image_size"]
        return height, width, self.config["channels"]

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights and of the model's input."""
        return next(self.model.parameters()).dtype

    @property
    def has_attention(self) -> bool:
        """Whether the model has attention maps."""
        return has_attention(self.model)

    @classmethod
    def new(cls, config: dict, device: torch.device) -> "Classifier":
        """A freshly initialized model; weights are drawn from PyTorch's global generator."""
        model = new_model(config)
        set_fused_attention(model, config["compute"]["attention"] == "fused")
        return cls(model.to(device), config, device)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> "Classifier":
        """Load a model that `save` wrote in this or an earlier release; settings added since get their defaults.

        Raises UserError if a file is missing, or a setting that every release writes.
        """
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise UserError(f"no trained model in {folder} ({name} is missing); run `dvc repro`")
        config = LATER_SETTINGS | read_json(folder / CONFIG)
        if missing := [name for name in NEEDED if name not in config]:
            raise UserError(f"{folder / CONFIG} is damaged: {', '.join(missing)} missing; download the model again")
        classifier = cls.new(config, torch.device(device))
        classifier.model.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
        return classifier

    def to(self, precision: str) -> "Classifier":
        """This classifier with weights in `float32`, or in `bfloat16` with the fastest attention kernel for them.

        bfloat16 is several times as fast on CPUs with AMX or AVX512_BF16; probabilities differ from evaluate's by up to
        0.02.
        """
        if precision not in ("float32", "bfloat16"):
            raise UserError(f"precision is '{precision}'; it must be float32 or bfloat16")
        if precision == "bfloat16":
            bfloat16.convert(self.model)
        return self

    def save(self, folder: Path, weights: dict[str, Tensor]) -> None:
        """Write `weights` and the settings to `folder`."""
        with replacing(folder / WEIGHTS) as temporary:
            safetensors.torch.save_file(weights, temporary)
        write_json(folder / CONFIG, self.config)

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, C) of image_size to float32 (B, classes), on the CPU."""
        if self.model.training:  # eval() writes to the model, which threads share when serving
            self.model.eval()
        x = normalize(to_unit(images.to(self.device)), self.mean, self.std)
        return self.model(x.to(self.dtype)).float().cpu()

    def probabilities(self, images: Tensor) -> np.ndarray:
        """uint8 (B, H, W, C) of image_size to probabilities (B, classes)."""
        return self.calibrated(self.logits(images))

    def calibrated(self, logits: Tensor) -> np.ndarray:
        """Logits (B, classes) to probabilities, with the temperature that was fitted on val."""
        return (logits / self.temperature).softmax(dim=1).numpy()

    def classify(self, files: list[Path | IO[bytes]]) -> list[dict]:
        """Label, confidence in [0, 1] and the probability of every class, per image file.

        Raises UserError naming the first file that is not a readable image.
        """
        settings = settings_of(self.config)
        remarks = Remarks()
        loaded = [load_image(file, **settings, notice=remarks.of(called(file))) for file in files]
        remarks.tell(log)
        images = torch.from_numpy(np.stack(loaded))
        results = []
        for row in self.probabilities(images).tolist():
            probabilities = dict(zip(self.classes, row, strict=True))
            label = max(probabilities, key=probabilities.__getitem__)
            results.append({"label": label, "confidence": probabilities[label], "probabilities": probabilities})
        return results
