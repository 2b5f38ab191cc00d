"""The rows that every benchmark writes and prints: ours against a peer, in one run, with a goal."""

import statistics
from collections.abc import Callable
from pathlib import Path

from vit.files import write_json


def compare(
    case: str, ours: Callable[[], float], peer: Callable[[], float], peer_name: str, goal: float | None, rounds: int
) -> dict:
    """Measure samples per second of both sides, alternating; medians. A ratio above 1 means that ours is faster."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = mine / other
    return {
        "case": case,
        "ours": round(mine, 1),
        "peer": round(other, 1),
        "peer_name": peer_name,
        "unit": "samples/s",
        "ratio": round(ratio, 2),
        "goal": goal,
        "met": None if goal is None else ratio >= goal,
    }


def reach(case: str, ours: Callable[[], float], goal: float, rounds: int) -> dict:
    """Measure samples per second of ours alone, against a number to reach; the median."""
    return compare(case, ours, lambda: goal, "what to reach", 1, rounds)


def report(rows: list[dict], out: Path) -> None:
    """Write `rows` as JSON and print them as a Markdown table."""
    write_json(out, rows)
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join("-" if value is None else str(value) for value in row.values()) + " |")
