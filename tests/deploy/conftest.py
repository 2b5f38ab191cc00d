"""The images that the tests of this folder share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.images import MARKER, TARGETS, Images


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Iterator[Images]:
    """A store for images, which goes with the tests unless VIT_IMAGES names a folder for it: they are large."""
    kept = os.environ.get("VIT_IMAGES")
    made = Images(Path(kept) if kept else tmp_path_factory.mktemp("images"))
    made.make_base()
    yield made
    if not kept:
        shutil.rmtree(made.folder)


@pytest.fixture(scope="session")
def pip_secrets(tmp_path_factory) -> dict[str, Path]:
    """This machine's settings of pip, if it needs any, with a marker that can be searched for."""
    settings = tmp_path_factory.mktemp("pip") / "pip.conf"
    ours = Path("/etc/pip.conf")
    settings.write_text(f"{ours.read_text() if ours.exists() else '[global]'}\n# {MARKER}\n")
    found = {"pipconf": settings}
    if authority := os.environ.get("PIP_CERT"):
        found["ca"] = Path(authority)
    return found


@pytest.fixture(scope="session")
def built(images, pip_secrets) -> dict[str, float]:
    """All targets; seconds for each, 0 if a kept store had it."""
    seconds = {}
    for target in TARGETS:
        present = images.buildah("images", "--quiet", "--filter", f"reference=localhost/vit-{target}")
        seconds[target] = 0.0 if present else images.build(target, pip_secrets)
    return seconds
