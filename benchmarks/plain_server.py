"""What one would write without MLflow: FastAPI around the same model. A peer of benchmarks/serve.py.

python -m benchmarks.plain_server --model model --port 8000 --threads 2 --workers 1
"""

import argparse
import base64
import os
from io import BytesIO
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from vit.inference.classifier import Classifier

MODEL, THREADS = "PLAIN_SERVER_MODEL", "PLAIN_SERVER_THREADS"  # how the workers learn of them


class Images(BaseModel):
    images: list[str]


def plain_app(model: Path, threads: int) -> FastAPI:
    """POST /predict {"images": [base64]}, answered by the model in the folder `model`; each request alone."""
    app = FastAPI()
    classifier = Classifier.load(model)

    @app.post("/predict")
    def predict(request: Images) -> list[dict]:
        torch.set_num_threads(threads)  # of this thread of FastAPI's pool
        return classifier.classify([BytesIO(base64.b64decode(text)) for text in request.images])

    return app


def worker_app() -> FastAPI:
    """The app of one worker process."""
    return plain_app(Path(os.environ[MODEL]), int(os.environ[THREADS]))


def main() -> None:
    parser = argparse.ArgumentParser(description="A plain server to compare with.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True, help="per request")
    parser.add_argument("--workers", type=int, default=1, help="processes with a model each")
    arguments = parser.parse_args()
    os.environ |= {MODEL: str(arguments.model), THREADS: str(arguments.threads)}
    app, workers = "benchmarks.plain_server:worker_app", arguments.workers
    uvicorn.run(app, factory=True, workers=workers, port=arguments.port, access_log=False)


if __name__ == "__main__":
    main()
