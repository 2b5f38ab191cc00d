"""Remarks about many images, each logged once with a count."""

import logging
from collections import Counter
from collections.abc import Callable


class Remarks:
    """Collects the remarks of `load_image` and logs each once, with the first image that it concerns."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def of(self, name: str) -> Callable[[str], None]:
        """A function that records a remark about the image of this name."""

        def note(remark: str) -> None:
            self.counts[remark] += 1
            self.first.setdefault(remark, name)

        return note

    def tell(self, log: logging.Logger) -> None:
        for remark, count in self.counts.items():
            images = "1 image" if count == 1 else f"{count} images"
            log.warning(f"{images}: {remark} (the first: {self.first[remark]})")
