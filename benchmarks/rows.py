"""The rows that every benchmark writes and prints: ours against a peer, in one run, with a goal."""

import statistics
from collections.abc import Callable
from pathlib import Path

from vit.files import write_json

LESS_IS_BETTER = ("ms", "seconds", "million parameters", "MB")  # how such units begin


def alternating(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of what each contender measures; every round asks all of them in turn, so that what disturbs the
    machine for a while disturbs all."""
    measured = [[contender() for contender in contenders.values()] for _ in range(rounds)]
    return dict(zip(contenders, map(statistics.median, zip(*measured, strict=True)), strict=True))


def row(case: str, ours: float, peer: float, peer_name: str, unit: str, goal: float | None) -> dict:
    """One comparison; a ratio above 1 means that ours is better: more of a `unit`, or less of a time or a size."""
    ratio = peer / ours if unit.startswith(LESS_IS_BETTER) else ours / peer
    return {
        "case": case,
        "ours": round(ours, 2),
        "peer": round(peer, 2),
        "peer_name": peer_name,
        "unit": unit,
        "ratio": round(ratio, 2),
        "goal": goal,
        "met": None if goal is None else ratio >= goal,
    }


def compare(
    case: str, ours: Callable[[], float], peer: Callable[[], float], peer_name: str, goal: float | None, rounds: int
) -> dict:
    """Measure samples per second of both sides, alternating; medians. A ratio above 1 means that ours is faster."""
    medians = alternating({"ours": ours, "peer": peer}, rounds)
    return row(case, medians["ours"], medians["peer"], peer_name, "samples/s", goal)


def reach(case: str, ours: Callable[[], float], goal: float, rounds: int) -> dict:
    """Measure samples per second of ours alone, against a number to reach; the median."""
    return compare(case, ours, lambda: goal, "what to reach", 1, rounds)


def report(rows: list[dict], out: Path) -> None:
    """Write `rows` as JSON and print them as a Markdown table."""
    write_json(out, rows)
    print_table(rows)


def print_table(rows: list[dict]) -> None:
    """A Markdown table with every column that any of `rows` has."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for row in rows:
        values = (row.get(column) for column in columns)
        print("| " + " | ".join("-" if value is None else str(value) for value in values) + " |")
