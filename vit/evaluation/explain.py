"""Where a classifier looks, as a map over the image; drawn with NumPy and Pillow only, so that serving can do it."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vit.data.batches import normalize, to_unit
from vit.errors import UserError
from vit.evaluation.attention import attention_maps, gradient_relevance, pooled, rollout
from vit.inference.classifier import Classifier
from vit.models.families import has_attention
from vit.models.vision_transformer import VisionTransformer

SIDE = 224  # pixels of the longer side of a drawn map
HEAT = np.array([[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]])  # inferno
OPACITY = 0.5  # of the map over the image
SHEET_IMAGES = 100  # at most 23 MB of pixels
GAP, TITLE = 8, 24  # pixels between pictures, and below one for its title


def model_input(classifier: Classifier, images: Tensor) -> Tensor:
    """uint8 (B, H, W, C) of image_size to model input (B, C, H, W), with the device and type of the weights."""
    x = normalize(to_unit(images.to(classifier.device)), classifier.mean, classifier.std)
    return x.to(classifier.dtype)


def require_attention(classifier: Classifier) -> VisionTransformer:
    """The model. Raises UserError if it has no attention to draw maps of."""
    if has_attention(classifier.model):
        return classifier.model
    name = classifier.config["model"]["name"]
    raise UserError(
        f"model.name is {name}, which has no attention maps to explain a prediction; leave out the explanation"
    )


def grid_of(classifier: Classifier) -> tuple[int, int]:
    """Rows and columns of patches."""
    height, width = classifier.config["image_size"]
    patch_size = classifier.config["model"]["patch_size"]
    return height // patch_size, width // patch_size


def rollout_maps(classifier: Classifier, images: Tensor) -> np.ndarray:
    """Attention rollout to what the head reads, uint8 (B, H, W, C) to (B, rows, columns) of patches."""
    with torch.inference_mode():
        flow = rollout(attention_maps(require_attention(classifier), model_input(classifier, images)))
    return _on_grid(classifier, flow)


def relevance_maps(classifier: Classifier, images: Tensor, labels: Tensor) -> np.ndarray:
    """Gradient x attention for the classes `labels` (B,), uint8 (B, H, W, C) to (B, rows, columns) of patches."""
    x = model_input(classifier, images)
    return _on_grid(classifier, gradient_relevance(require_attention(classifier), x, labels.to(x.device)))


def explanation_maps(classifier: Classifier, images: Tensor, labels: Tensor) -> np.ndarray:
    """The map for a prediction: with a class token its rollout, whatever the label; with average pooling the label's
    `relevance_maps`, because there is no token whose rollout would represent the label."""
    if classifier.config["model"]["pool"] == "cls":
        return rollout_maps(classifier, images)
    return relevance_maps(classifier, images, labels)


def explanation_png(classifier: Classifier, image: np.ndarray, label: int) -> bytes:
    """A small PNG of `explanation_maps` over an image uint8 (H, W, C) of image_size, for the class of index `label`.

    The longer side has 224 pixels; dark is the map's lowest value, yellow its highest. Safe to call from several
    threads.
    """
    (values,) = explanation_maps(classifier, torch.from_numpy(np.array(image[None])), torch.tensor([label]))
    return overlay_png(image, values)


def overlay_png(image: np.ndarray, values: np.ndarray) -> bytes:
    """A PNG of `overlay`."""
    buffer = BytesIO()
    overlay(image, values).save(buffer, format="png")
    return buffer.getvalue()


def explanation_sheet(pictures: list[bytes], titles: list[str]) -> bytes:
    """One PNG with up to SHEET_IMAGES PNGs from `explanation_png`, five per row, each above its title."""
    tiles = [Image.open(BytesIO(picture)) for picture in pictures]
    width, height = max(tile.width for tile in tiles) + GAP, max(tile.height for tile in tiles) + TITLE
    columns = min(5, len(tiles))
    sheet = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for index, (tile, title) in enumerate(zip(tiles, titles, strict=True)):
        left, top = index % columns * width, index // columns * height
        sheet.paste(tile, (left, top))
        text = " ".join(title.split())
        while font.getlength(text) > width - GAP:
            text = f"{text.rstrip('…')[:-1]}…"
        draw.text((left, top + tile.height + 2), text, fill="black", font=font)
    buffer = BytesIO()
    sheet.save(buffer, format="png")
    return buffer.getvalue()


def overlay(image: np.ndarray, values: np.ndarray, side: int = SIDE) -> Image.Image:
    """A map (rows, columns), scaled to [0, 1], in colour over a greyscale image uint8 (H, W, C)."""
    grey = enlarged(image, side).convert("L").convert("RGB")
    span = values.max() - values.min()
    stretched = (values - values.min()) / span if span > 0 else np.zeros_like(values)
    smooth = Image.fromarray(stretched.astype(np.float32)).resize(grey.size, Image.Resampling.BICUBIC)
    anchors = np.linspace(0, 1, len(HEAT))  # bicubic resampling overshoots a little; interp clips that
    colours = np.stack([np.interp(np.asarray(smooth), anchors, HEAT[:, channel]) for channel in range(3)], axis=-1)
    return Image.blend(grey, Image.fromarray(colours.round().astype(np.uint8)), OPACITY)


def enlarged(image: np.ndarray, side: int = SIDE) -> Image.Image:
    """An image uint8 (H, W, C) with `side` pixels on the longer side; small images are enlarged without smoothing."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX)


def _on_grid(classifier: Classifier, matrix: Tensor) -> np.ndarray:
    rows = pooled(matrix, require_attention(classifier))
    return rows.reshape(len(rows), *grid_of(classifier)).float().cpu().numpy()
