"""Exporting a model for other programs: one file with the weights, as ONNX or as a torch.export program.

Input `images`: uint8 (batch, height, width, channels) of image_size, as `vit.data.images.load_image` makes them; the
normalization is part of the graph. Output `probabilities`: float32 (batch, classes). Class names, in their order, and
the settings of `load_image` are in the file too, as JSON.
"""

import json
import logging
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO

import numpy as np
import torch
from torch import Tensor, nn

from vit.config.files import CONFIG
from vit.data.batches import normalize, to_unit
from vit.errors import UserError
from vit.inference.classifier import Classifier

ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
LARGEST_ONNX = 2**31 - 2**20  # bytes of weights; a protobuf file can hold 2 GiB
TOLERANCE = 1e-5  # of a probability
PARITY_BATCHES = (1, 32)  # images


class Probabilities(nn.Module):
    """A classifier as one graph: uint8 (B, H, W, C) to float32 (B, classes)."""

    def __init__(self, classifier: Classifier):
        super().__init__()
        self.model = classifier.model.eval().requires_grad_(False)
        self.mean, self.std = classifier.mean, classifier.std
        self.temperature = classifier.config.get("temperature", 1.0)

    def forward(self, images: Tensor) -> Tensor:
        return (self.model(normalize(to_unit(images), self.mean, self.std)) / self.temperature).softmax(dim=1)


def to_torch(classifier: Classifier) -> tuple[bytes, Callable[[np.ndarray], np.ndarray]]:
    """The bytes of a torch.export program, and a function that runs it."""
    buffer = BytesIO()
    torch.export.save(_program(classifier), buffer, extra_files={CONFIG: json.dumps(classifier.config)})
    module = torch.export.load(BytesIO(buffer.getvalue())).module()
    return buffer.getvalue(), lambda images: module(torch.from_numpy(images)).numpy()


def to_onnx(classifier: Classifier) -> tuple[bytes, Callable[[np.ndarray], np.ndarray]]:
    """The bytes of an ONNX model, and a function that runs it. Raises UserError if the weights are too large for it."""
    import onnx
    import onnxruntime

    size = 4 * classifier.parameter_count
    if size > LARGEST_ONNX:
        raise UserError(f"the weights take {size} bytes, but an ONNX file holds at most 2 GiB; use --format torch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    program = torch.onnx.export(
        _program(classifier), dynamo=True, input_names=["images"], output_names=["probabilities"], verbose=False
    )
    assert program is not None  # it would be without `dynamo`
    model = program.model_proto
    onnx.helper.set_model_props(model, {CONFIG: json.dumps(classifier.config)})
    onnx.checker.check_model(model)
    exported = model.SerializeToString()
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    return exported, lambda images: session.run(["probabilities"], {"images": images})[0]


def require_onnx() -> None:
    """Raises UserError if a package that --format onnx needs is not installed."""
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx needs {', '.join(missing)}; run "
            "`pip install --requirement requirements-export.txt --constraint constraints.txt`"
        )


def check_parity(classifier: Classifier, run: Callable[[np.ndarray], np.ndarray]) -> float:
    """The largest difference between the probabilities of `run` and of `classifier`, on random images.

    Raises UserError if it is more than TOLERANCE.
    """
    random = np.random.default_rng(0)
    worst = 0.0
    for count in PARITY_BATCHES:
        shape = (count, *classifier.input_shape)
        brightness = random.random((count, 1, 1, 1))  # images of different mean brightness
        images = (random.integers(0, 256, shape) * brightness).astype(np.uint8)
        difference = np.abs(run(images) - classifier.probabilities(torch.from_numpy(images))).max()
        worst = float(np.maximum(worst, difference))  # NaN stays NaN
    if not worst <= TOLERANCE:
        raise UserError(
            f"nothing was written: the exported model's probabilities differ by {worst:.1e} from the model's, but at "
            f"most {TOLERANCE:.0e} is allowed"
        )
    return worst


def _program(classifier: Classifier) -> torch.export.ExportedProgram:
    size = classifier.input_shape
    example = torch.zeros((2, *size), dtype=torch.uint8)  # a batch size of one would become a constant
    batch = {"images": {0: torch.export.Dim("batch")}}
    return torch.export.export(Probabilities(classifier), (example,), dynamic_shapes=batch)
