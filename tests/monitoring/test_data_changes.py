"""What changed between two tables of images."""

from vit.monitoring.data_changes import data_changes


def row(pixels: str, label: str, part: str, path: str = "") -> dict[str, str]:
    return {"path": path or f"{label}/{pixels}.png", "part": part, "label": label, "pixels_sha256": pixels}


def test_images_are_told_apart_by_their_pixels():
    before = [row("1", "cat", "train"), row("2", "cat", "val"), row("3", "dog", "test"), row("4", "dog", "train")]
    now = [
        row("1", "cat", "train", "cat/renamed.png"),
        row("2", "dog", "val"),
        row("3", "dog", "train"),
        row("5", "cat", "train"),
    ]
    changes = data_changes(before, now)
    found = {
        name: [one["pixels_sha256"] for one in getattr(changes, name)]
        for name in ("added", "removed", "relabelled", "moved")
    }
    assert found == {"added": ["5"], "removed": ["4"], "relabelled": ["2"], "moved": ["3"]}
    assert (dict(changes.before), dict(changes.now)) == ({"cat": 2, "dog": 2}, {"cat": 2, "dog": 2})
