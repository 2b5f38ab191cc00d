"""A model of this project as MLflow serves it, from a folder that knows nothing of the repo."""

import base64
import http.client
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Project, documented, free_port
from tests.presets import preset
from tests.shapes import CLASSES
from vit.inference.classifier import Classifier
from vit.registry.served import save_served

LIMITS = {"max_rows": 64, "max_bytes": 4_000_000, "max_pixels": 4_000_000, "batch_wait_ms": 5.0, "precision": "float32"}


def new_classifier(folder: Path, **changes) -> Classifier:
    """Random weights for colour images of 16x24, large enough for answers that differ from image to image."""
    import torch

    model = preset(folder, "shapes", {"model.patch_size": 8}).model.model_dump()
    config = {"classes": CLASSES, "image_size": [16, 24], "channels": 3, "fit": "crop", "margin": 0.0}
    config |= {"trim_bars": False, "mean": [0.5] * 3, "std": [0.25] * 3, "model": model | changes}
    torch.manual_seed(0)
    return Classifier.new(config | {"compute": {"attention": "math"}}, torch.device("cpu"))


@dataclass
class Served:
    """A running server, its program's folder with the log, the model's folder, and the same model in this process."""

    port: int
    project: Project
    model: Path
    classifier: Classifier

    def post(
        self, body: bytes, content_type: str | None = "application/json", headers: dict | None = None
    ) -> tuple[int, str]:
        """Status and body of the answer to POST /invocations; 20 s without one are an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {**({} if content_type is None else {"Content-Type": content_type}), **(headers or {})}
        try:
            connection.request("POST", "/invocations", body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ask(self, *files: bytes, **params) -> list[dict]:
        """The predictions for image files."""
        texts = [base64.b64encode(file).decode() for file in files]
        status, answer = self.post(json.dumps({"inputs": texts, "params": params}).encode())
        assert status == 200, answer
        return json.loads(answer)["predictions"]


def clean_environment() -> dict[str, str]:
    """This Python's programs first on the path, no path to the repo, nothing of MLflow or DVC."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "PYTHON"))}
    return ours | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    classifier = new_classifier(folder)
    classifier.save(folder / "weights", classifier.model.state_dict())
    save_served(folder / "vit", folder / "weights", LIMITS)
    elsewhere = Project(tmp_path_factory.mktemp("elsewhere"), clean_environment())
    port = free_port()
    command = documented("mlflow models serve").replace("models:/vit@champion", str(folder / "vit"))
    with elsewhere.running(f"{command} --port {port}", f"http://127.0.0.1:{port}/ping"):
        yield Served(port, elsewhere, folder / "vit", classifier)
