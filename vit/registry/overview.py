"""An overview of all versions, and the differences between two of them."""

from collections.abc import Sequence
from statistics import NormalDist

from vit.registry import own
from vit.registry.tags import LOOKS, ROLLED_BACK
from vit.registry.versions import find_version, registry, run_of

DATA = ("train_sha256", "val_sha256", "md5/data/raw", "md5/data/splits")
CODE = ("mlflow.source.git.commit", "git_dirty", "dvc_exp_name")


def versions_of(name: str, confidence_level: float) -> list[dict]:
    """`version`, `aliases`, `val_accuracy`, `test_accuracy`, `test_looks` and `verdict` of every version, newest first.

    An accuracy has `value`, `low` and `high`; the ends, or the whole accuracy, are None if unknown.
    """
    known, versions = own.versions(name) or _versions_by_mlflow(name)
    aliases: dict[str, list[str]] = {}
    for alias, number in known.items():
        aliases.setdefault(str(number), []).append(alias)
    return [
        {
            "version": int(version.version),
            "aliases": sorted(aliases.get(str(version.version), [])),
            "val_accuracy": _val_accuracy(version.tags, confidence_level),
            "test_accuracy": _test_accuracy(version.tags),
            "test_looks": int(version.tags[LOOKS]) if LOOKS in version.tags else None,
            "verdict": _verdict(version.tags),
        }
        for version in sorted(versions, key=lambda version: -int(version.version))
    ]


def _versions_by_mlflow(name: str) -> tuple[dict, Sequence]:
    with registry() as client:
        return client.get_registered_model(name).aliases, client.search_model_versions(f"name = '{name}'")


def versions_if_any(name: str, confidence_level: float) -> list[dict]:
    """As `versions_of`; [] before the first version is registered."""
    if own.versions(name) is None:
        with registry() as client:
            if not client.search_registered_models(f"name = '{name}'"):
                return []
    return versions_of(name, confidence_level)


def difference(name: str, asked: Sequence[str]) -> dict:
    """Differences of two versions, by number or alias: `name`, `versions`, and per group each key with both values.

    The groups are `params`, `metrics`, `data` and `code`; the value is None where a version lacks the key.
    """
    with registry() as client:
        versions = [find_version(client, name, one) for one in asked]
        runs = [run_of(client, version).data for version in versions]
    tags = [run.tags | version.tags for run, version in zip(runs, versions, strict=True)]
    metrics = set().union(*(run.metrics for run in runs))
    groups = {
        "params": [run.params for run in runs],
        "metrics": [{key: value for key, value in one.items() if key in metrics} for one in tags],
        "data": [{key: one[key] for key in DATA if key in one} for one in tags],
        "code": [{key: one[key] for key in CODE if key in one} for one in tags],
    }
    found = {"name": name, "versions": [int(version.version) for version in versions]}
    return found | {title: _differing(*both) for title, both in groups.items()}


def _differing(one: dict[str, str], other: dict[str, str]) -> dict[str, list[str | None]]:
    keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    return {key: [one.get(key), other.get(key)] for key in keys}


def wilson(share: float, count: int, confidence: float) -> tuple[float, float]:
    """The interval of a share of `count` trials (Wilson 1927)."""
    squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    spread = (squared * (share * (1 - share) / count + squared / (4 * count**2))) ** 0.5 / (1 + squared / count)
    return centre - spread, centre + spread


def _val_accuracy(tags: dict[str, str], confidence_level: float) -> dict[str, float] | None:
    """Its interval treats images as independent, whereas intervals on test may use groups."""
    if not {"best_val_accuracy", "val_images"} <= tags.keys():
        return None
    share = float(tags["best_val_accuracy"])
    low, high = wilson(share, int(float(tags["val_images"])), confidence_level)
    return {"value": share, "low": low, "high": high}


def _test_accuracy(tags: dict[str, str]) -> dict[str, float | None] | None:
    if "test_accuracy" not in tags:
        return None
    ends = {end: tags.get(f"test_accuracy_{end}") for end in ("low", "high")}
    known = {end: None if value is None else float(value) for end, value in ends.items()}
    return {"value": float(tags["test_accuracy"])} | known


def _verdict(tags: dict[str, str]) -> str | None:
    """The gate's last verdict, and what people decided since."""
    found = []
    if "gate/decision" in tags:
        against = "" if tags["gate/champion"] == "none" else f" against {tags['gate/champion']}"
        found.append(f"{tags['gate/decision']}{against}: {tags['gate/outcome']}")
    if "promoted_by_hand" in tags:
        found.append(f"promoted by hand: {tags['promoted_by_hand']}")
    if ROLLED_BACK in tags:
        found.append(f"rolled back: {tags[ROLLED_BACK]}")
    return "; ".join(found) or None
