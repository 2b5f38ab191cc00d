"""Totals over the prediction log, brought up to date by what its files gained."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vit.monitoring.logged import log_files, told_drops

CONFIDENCES = np.linspace(0.05, 1, 20)  # upper ends of the buckets
SECONDS = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10])
COLUMNS = ["at", "row", "label", "confidence", "version", "latency_ms"]


class Buckets:
    """Counts of values by their upper ends, the last one without end, and the sum of the values."""

    def __init__(self, ends: np.ndarray):
        self.ends, self.sum = ends, 0.0
        self.counts = np.zeros(len(ends) + 1, np.int64)

    def add(self, values: np.ndarray) -> None:
        self.counts += np.bincount(np.searchsorted(self.ends, values), minlength=len(self.counts))
        self.sum += float(values.sum())


@dataclass
class Totals:
    """By version, and by version and label; `last` is the time of the newest prediction in seconds since 1970."""

    requests: Counter = field(default_factory=Counter)
    predictions: Counter = field(default_factory=Counter)
    dropped: int = 0
    last: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    confidence: dict[str, Buckets] = field(default_factory=lambda: defaultdict(lambda: Buckets(CONFIDENCES)))
    latency: dict[str, Buckets] = field(default_factory=lambda: defaultdict(lambda: Buckets(SECONDS)))
    _seen: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # time, rows and drops of each file

    def update(self, folder: Path) -> None:
        """Count what came since the last call. Files only grow, and those that are deleted stay counted."""
        seen = {}
        for file in log_files(folder):
            before, rows, drops = self._seen.get(file.name, (0, 0, 0))
            try:
                written = file.stat().st_mtime_ns
                if written != before:
                    table = pq.read_table(file, columns=COLUMNS, partitioning=None)
                    self._add(table.slice(rows))
                    told = told_drops(table.schema)
                    self.dropped += told - drops
                    rows, drops = table.num_rows, told
            except (pa.ArrowException, OSError):  # deleted meanwhile, or damaged, which read_log says
                continue
            seen[file.name] = (written, rows, drops)
        self._seen = seen

    def _add(self, rows: pa.Table) -> None:
        versions = np.array(rows["version"].to_pylist())
        labels, is_first = np.array(rows["label"].to_pylist()), rows["row"].to_numpy() == 0
        confidence, seconds = rows["confidence"].to_numpy(), rows["latency_ms"].to_numpy() / 1000
        at = rows["at"].cast(pa.int64()).to_numpy() / 1e6
        for version in map(str, np.unique(versions)):
            chosen = versions == version
            self.requests[version] += int(is_first[chosen].sum())
            self.confidence[version].add(confidence[chosen])
            self.latency[version].add(seconds[chosen & is_first])
            self.last[version] = max(self.last[version], float(at[chosen].max()))
            for label, count in zip(*np.unique(labels[chosen], return_counts=True), strict=True):
                self.predictions[version, str(label)] += int(count)
