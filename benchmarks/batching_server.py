"""LitServe around the same model; it joins requests into batches. A peer of benchmarks/serve.py.

python -m benchmarks.batching_server --model model --port 8000 --threads 2 --workers 1
"""

import argparse
import base64
from io import BytesIO
from pathlib import Path

import litserve
import numpy as np
import torch

from vit.data.images import load_image, settings_of
from vit.inference.classifier import Classifier

LARGEST, WAIT = 16, 0.005  # requests in a batch; seconds


class Batched(litserve.LitAPI):
    """POST /predict {"images": [base64]}, answered by the model in a folder."""

    def __init__(self, model: Path, threads: int):
        super().__init__(max_batch_size=LARGEST, batch_timeout=WAIT)
        self.folder, self.threads = model, threads

    def setup(self, device: str) -> None:
        torch.set_num_threads(self.threads)
        self.classifier = Classifier.load(self.folder)
        self.settings = settings_of(self.classifier.config)

    def decode_request(self, request: dict) -> np.ndarray:
        return np.stack([load_image(BytesIO(base64.b64decode(text)), **self.settings) for text in request["images"]])

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return inputs

    def predict(self, x: list[np.ndarray]) -> list[np.ndarray]:
        rows = self.classifier.probabilities(torch.from_numpy(np.concatenate(x)))
        return np.split(rows, np.cumsum([len(images) for images in x])[:-1])

    def unbatch(self, output: list[np.ndarray]) -> list[np.ndarray]:
        return output

    def encode_response(self, output: np.ndarray) -> list[dict]:
        named = [dict(zip(self.classifier.classes, row, strict=True)) for row in output.tolist()]
        return [
            {"label": max(row, key=row.__getitem__), "confidence": max(row.values()), "probabilities": row}
            for row in named
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description="A batching server to compare with.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True, help="per worker")
    parser.add_argument("--workers", type=int, required=True, help="processes with a model each")
    arguments = parser.parse_args()
    api = Batched(arguments.model, arguments.threads)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=arguments.workers)
    server.run(host="127.0.0.1", port=arguments.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
