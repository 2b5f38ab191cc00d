"""How often a test set was used: the best of many scores on the same images is too high for new ones."""

import hashlib
from pathlib import Path

from mlflow.entities import ViewType

from vit.files import read_table
from vit.tracking.store import Store

IMAGES = "test_images_sha256"  # tag of a run


def digest_of_test_images(audited: Path) -> str | None:
    """The digest of the pixels of all test images, whatever their names and order; None without test images."""
    pixels = sorted(row["pixels_sha256"] for row in read_table(audited) if row["part"] == "test")
    return hashlib.sha256("\n".join(pixels).encode()).hexdigest() if pixels else None


def count_looks(store: Store, digest: str) -> int:
    """The runs of the experiment, deleted ones included, that reported scores on the test images with this digest."""
    wanted, looks, token = f"tags.{IMAGES} = '{digest}'", 0, None
    while token != "":
        page = store.client.search_runs([store.experiment_id], wanted, ViewType.ALL, page_token=token)
        looks += len(page)
        token = page.token or ""
    return looks


def looks_line(looks: int) -> str:
    """A line of the model card."""
    if looks == 1:
        return "- This is the first run of this store that was scored on these test images"
    return f"- {looks} runs of this store were scored on these test images; the best of several scores is too high"
