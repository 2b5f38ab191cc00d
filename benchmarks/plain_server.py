"""What one would write without MLflow: FastAPI around torchvision's ViT. The peer of benchmarks/serve.py.

python -m benchmarks.plain_server --config model/config.json --port 8000
"""

import argparse
import base64
from io import BytesIO
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel
from torch import nn
from torchvision import transforms
from torchvision.models import VisionTransformer
from torchvision.models.vision_transformer import ConvStemConfig

from vit.files import read_json


class Rectangular(VisionTransformer):
    """torchvision's ViT, with its class token and, where ours pools in its stem, strides; for images of `image_size`
    (height, width) pixels, no squares."""

    def __init__(self, image_size: list[int], model: dict, classes: int):
        patch, width = model["patch_size"], model["embed_dim"]
        hidden = int(width * model["mlp_ratio"])
        stem = convolutions(model) if model["stem"] == "conv" else None
        sizes = (patch, patch, model["depth"], model["num_heads"], width, hidden)
        super().__init__(*sizes, num_classes=classes, conv_stem_configs=stem)
        patches = (image_size[0] // patch) * (image_size[1] // patch)
        self.encoder.pos_embedding = nn.Parameter(torch.randn(1, patches + 1, width) * 0.02)

    def _process_input(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_proj(x).flatten(2).transpose(1, 2)  # (B, N, D), without the test for a square


def convolutions(model: dict) -> list[ConvStemConfig]:
    """As wide as ours, the last of them with strides down to a patch."""
    at_full_size = len(model["stem_widths"]) - (model["patch_size"].bit_length() - 1)
    strides = [1 if index < at_full_size else 2 for index in range(len(model["stem_widths"]))]
    return [ConvStemConfig(width, 3, stride) for width, stride in zip(model["stem_widths"], strides, strict=True)]


class Images(BaseModel):
    images: list[str]


def plain_app(config: dict) -> FastAPI:
    """POST /predict {"images": [base64]} with random weights in the geometry of `config`."""
    app = FastAPI()
    model = Rectangular(config["image_size"], config["model"], len(config["classes"])).eval()
    transform = transforms.Compose(
        [
            transforms.Resize(config["image_size"]),
            transforms.ToTensor(),
            transforms.Normalize(config["mean"], config["std"]),
        ]
    )

    def load(text: str) -> torch.Tensor:
        return transform(Image.open(BytesIO(base64.b64decode(text))).convert("RGB"))

    @app.post("/predict")
    def predict(request: Images) -> list[dict]:
        with torch.inference_mode():
            rows = model(torch.stack([load(text) for text in request.images])).softmax(dim=1).tolist()
        answers = [dict(zip(config["classes"], row, strict=True)) for row in rows]
        return [{"label": max(row, key=row.get), "probabilities": row} for row in answers]

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="A plain server to compare with.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    uvicorn.run(plain_app(read_json(arguments.config)), port=arguments.port)


if __name__ == "__main__":
    main()
