"""The rounds of Predict and check that were played in this project: kept in a table, ten of them make a game."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from vit.evaluation.sketch import Score
from vit.files import read_table, write_table

ROUNDS = 10  # of a game
SKETCHES = Path(".vit/studio/sketches.csv")
COLUMNS = ["at", "model", "image", "area", "iou", "pointing", "rank", "uniform_iou", "centre_iou", "average_iou"]


def keep_round(path: Path, model: str, image: str, area: float, found: Mapping[str, Score]) -> None:
    """Append a round: the digest of the model, the image's name, the share painted and the `scores`."""
    average = found.get("average map")
    row = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model,
        "image": image,
        "area": f"{area:.4f}",
        **{name: f"{value:.4f}" for name, value in found["you"]._asdict().items()},
        "uniform_iou": f"{found['uniform'].iou:.4f}",
        "centre_iou": f"{found['centre'].iou:.4f}",
        "average_iou": "" if average is None else f"{average.iou:.4f}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):  # two pages may end a round at once
        write_table(path, [*rounds(path), row], COLUMNS)


def rounds(path: Path) -> list[dict[str, str]]:
    """All rounds, oldest first; [] before the first one."""
    return read_table(path) if path.is_file() else []


def games(played: list[dict[str, str]]) -> list[dict]:
    """The mean scores of each ten rounds, the last game perhaps unfinished: `game`, `rounds`, `you`, `centre`."""
    found = []
    for start in range(0, len(played), ROUNDS):
        some = played[start : start + ROUNDS]
        means = {name: sum(float(row[key]) for row in some) / len(some) for name, key in
                 (("you", "iou"), ("uniform", "uniform_iou"), ("centre", "centre_iou"))}  # fmt: skip
        found.append({"game": start // ROUNDS + 1, "rounds": len(some), **means})
    return found
