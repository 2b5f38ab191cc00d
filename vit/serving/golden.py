"""The proof of a version: images that are published with it, and what `evaluate` predicted for them.

`golden/` lies beside MLmodel: PNG files, and probabilities.json with the probability of each class by file. The PNGs
hold the decoded pixels from before cropping and resizing, so that the proof takes the way of a request.
"""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vit.errors import UserError
from vit.files import read_json
from vit.serving.settings import Limits
from vit.serving.uploads import decode_uploads, read_uploads

if TYPE_CHECKING:
    from vit.inference.classifier import Classifier

GOLDEN, PROBABILITIES = "golden", "probabilities.json"
TOLERANCE = 1e-5  # of a probability
ANY_SIZE = Limits(max_rows=1, max_bytes=2**62, max_pixels=2**62)


def prove(classifier: "Classifier", folder: Path) -> None:
    """Raises UserError unless a float32 `classifier` gives the probabilities recorded in `folder`, within TOLERANCE."""
    if not (folder / PROBABILITIES).is_file():
        raise UserError(
            "it was published without golden images, by an earlier release; publish it again with `dvc repro`, or "
            "restart the server to serve it without this proof"
        )
    recorded: dict[str, dict[str, float]] = read_json(folder / PROBABILITIES)
    if not recorded:
        raise UserError("its golden/probabilities.json names no image; publish it again with `dvc repro`")
    for file, expected in recorded.items():
        gap = _largest_gap(classifier, folder / file, expected)
        if not gap <= TOLERANCE:  # NaN is refused too
            raise UserError(
                f"it is not the model that was evaluated: a probability of golden/{file} differs by {gap:.1g}, at most "
                f"{TOLERANCE:.0e} is allowed; delete its model in MLflow, then `dvc repro` publishes it again"
            )


def _largest_gap(classifier: "Classifier", file: Path, expected: dict[str, float]) -> float:
    import torch  # late, as for publishing

    if expected.keys() != set(classifier.classes):
        return float("inf")
    uploads = read_uploads([base64.b64encode(file.read_bytes()).decode()], ANY_SIZE)
    images = decode_uploads(uploads, classifier.config)
    (probabilities,) = classifier.probabilities(torch.from_numpy(images))
    return float(np.abs(probabilities - [expected[name] for name in classifier.classes]).max())
