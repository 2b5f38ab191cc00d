"""From a decoded image to the model's size: what is kept of it, and the filter."""

import math

from PIL import Image, ImageOps

# Images that would be larger than this many times the result are cut before they are resized, which Pillow rounds
# differently by a level or two: a line of a million pixels must not fill the memory.
LARGEST = 16


def resized(
    image: Image.Image, size: tuple[int, int], fit: str, interpolation: str = "bicubic", crop_pct: float = 1.0
) -> Image.Image:
    """`image` with `size` (height, width) in pixels, antialiased.

    `crop` keeps the aspect ratio and cuts what overhangs in the middle, to a fraction of a pixel. `center` rounds to
    whole pixels: the image is resized until it covers `size` / `crop_pct`, then its middle is cut out, as by timm's
    `transforms_imagenet_eval` with crop_mode center. `stretch` resizes each side alone (crop_mode squash).
    """
    height, width = size
    resample = Image.Resampling[interpolation.upper()]
    if fit == "crop":
        return ImageOps.fit(image, (width, height), resample)
    whole_height, whole_width = _whole_size(image, size, fit, crop_pct)
    top, left = round((whole_height - height) / 2), round((whole_width - width) / 2)
    if whole_height * whole_width <= LARGEST * height * width:
        whole = image.resize((whole_width, whole_height), resample)
        return whole.crop((left, top, left + width, top + height))
    box = (  # the part that is kept, in pixels of the original
        left * image.width / whole_width,
        top * image.height / whole_height,
        (left + width) * image.width / whole_width,
        (top + height) * image.height / whole_height,
    )
    return image.resize((width, height), resample, box)


def pixels_needed(size: tuple[int, int], crop_pct: float) -> int:
    """The longest side of `size` in the resized image before its middle is cut out."""
    return math.ceil(max(size) / crop_pct)


def _whole_size(image: Image.Image, size: tuple[int, int], fit: str, crop_pct: float) -> tuple[int, int]:
    """Height and width of the resized image, of which `size` is the middle."""
    height, width = (math.floor(side / crop_pct) for side in size)
    if fit == "stretch":
        return height, width
    if height * image.width >= width * image.height:
        return height, height * image.width // image.height
    return width * image.height // image.width, width
