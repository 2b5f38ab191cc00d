"""The tables of docs/results/serving-speed.md, from what `make bench-serve` wrote.

python -m benchmarks.serve_table benchmarks/serve.json
"""

import sys
from pathlib import Path

from vit.files import read_json

GOALS = {True: ", met", False: ", missed", None: ""}


def tables(rows: list[dict]) -> str:
    """Two tables in Markdown: every load beside each peer, and where the time goes."""
    loads = ["| load | beside | images/s, ours and theirs | p50, ms | p99, ms |", "|---|---|---|---|---|"]
    parts = ["| part of a request | ms | share of p50 |", "|---|---|---|"]
    figures: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        case, _, figure = row["case"].rpartition(": ")
        if case == "where the time goes":
            parts.append(f"| {figure} | {row['ours']} | {100 * row['ours'] / row['peer']:.0f} % |")
        elif figure in ("throughput", "p50", "p99"):
            text = f"{row['ours']}, {row['peer']} ({row['ratio']}{GOALS[row['met']]})"
            figures.setdefault((case, row["peer_name"]), {})[figure] = text
    for (case, peer), of in figures.items():
        loads.append(f"| {case} | {peer} | {of['throughput']} | {of.get('p50', '')} | {of.get('p99', '')} |")
    return "\n".join([*loads, "", *parts])


if __name__ == "__main__":
    print(tables(read_json(Path(sys.argv[1]))))
