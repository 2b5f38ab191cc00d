"""The weights that torchvision publishes for a model, by its own downloader; their names carry their digest."""

import logging
import re
import socket
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vit.errors import UserError
from vit.redaction import redacted
from vit.training.digests import sha256_hex

log = logging.getLogger("vit")

PREFIX = "torchvision:"
HASH = re.compile(r"-([0-9a-f]{8,})\.pth$")  # as in torch.hub
TIME_LIMIT, ATTEMPTS = 30, 3  # seconds without a byte


@dataclass(frozen=True)
class TorchvisionModel:
    """A model of torchvision with the weights that this release calls DEFAULT."""

    model: str
    published: Any  # torchvision.models.WeightsEnum

    @property
    def name(self) -> str:
        return PREFIX + self.model

    @property
    def settings(self) -> dict[str, dict]:
        """Empty: torchvision publishes its settings as code."""
        return {}

    @cached_property
    def weights(self) -> list[Path]:
        """The file of weights in torch's cache (TORCH_HOME), downloaded if it is not there or damaged.

        Raises UserError if the download fails.
        """
        import torch

        target = Path(torch.hub.get_dir()) / "checkpoints" / self.published.url.rpartition("/")[2]
        prefix = HASH.search(target.name)
        if prefix is None:
            raise UserError(f"{self.name}: {target.name} carries no digest, so it cannot be checked; use other weights")
        if not target.is_file() or not sha256_hex(target).startswith(prefix[1]):
            self._download(target, prefix[1])
        return [target]

    @property
    def about(self) -> dict:
        """Address, licence (None if torchvision names none), torchvision's name of the weights, and their digest."""
        return {
            "url": self.published.url,
            "licence": self.published.meta.get("license"),
            "title": str(self.published),
            "files": {file.name: sha256_hex(file) for file in self.weights},
        }

    def _download(self, target: Path, prefix: str) -> None:
        import torch

        target.parent.mkdir(parents=True, exist_ok=True)
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIME_LIMIT)  # torch.hub sets none
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    torch.hub.download_url_to_file(self.published.url, str(target), prefix, sys.stderr.isatty())
                    return
                except (OSError, RuntimeError) as error:  # the latter if the digest is another
                    reason = redacted(f"{type(error).__name__}: {error}")
                    if attempt == ATTEMPTS:
                        raise UserError(
                            f"{self.name} cannot be downloaded from {self.published.url} ({reason}); check the "
                            f"network, or put the file into {target.parent}"
                        ) from error
                    log.warning(f"{self.name}: {reason}; trying again")
        finally:
            socket.setdefaulttimeout(before)


def find_model(named: str, parameter: str) -> TorchvisionModel:
    """The model that `torchvision:NAME` names. Raises UserError naming `parameter` if it has no weights."""
    from torchvision import models

    model = named.removeprefix(PREFIX)
    try:
        published = getattr(models.get_model_weights(model), "DEFAULT", None)
    except ValueError:
        published = None
    if published is None:
        raise UserError(f"{parameter} '{named}': torchvision has no weights of this name; similar: {_near(model)}")
    return TorchvisionModel(model, published)


def _near(model: str) -> str:
    import difflib

    from torchvision import models

    known = models.list_models(module=models)
    return ", ".join(PREFIX + one for one in difflib.get_close_matches(model, known, n=3, cutoff=0))
