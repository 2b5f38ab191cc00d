"""A version's provenance: the commit, data, parameters and machine that made it."""

from datetime import UTC, datetime

from ruamel.yaml import YAML

from vit.config.files import PARAMS
from vit.config.params_file import flatten
from vit.registry.origin import CODE_DIFF
from vit.registry.provenance import Provenance


def traced(provenance: Provenance) -> dict[str, dict]:
    """Everything known about a version, as sections of plain values; None for unknown values."""
    version, origin, environment = provenance.version, provenance.origin, provenance.environment
    digests, tags = origin["digests"], provenance.run_tags  # set when the run began
    diff = (provenance.folder / CODE_DIFF).read_bytes()
    outs = [out for stage in provenance.stages.values() for out in stage.get("outs", [])]
    return {
        "model": {
            "name": version.name,
            "version": int(version.version),
            "aliases": provenance.aliases,
            "published": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            "run": provenance.run_name,
            "run_id": provenance.run_id,
            "weights_sha256": digests["weights_sha256"],
        },
        "code": {
            "commit": origin["commit"],
            "dirty": origin["dirty"],
            "changed_files": diff.count(b"\ndiff --git ") + diff.startswith(b"diff --git "),
        },
        "experiment": {"name": tags.get("dvc_exp_name"), "baseline": tags.get("dvc_exp_baseline_rev")},
        "data": origin["data"] | {part: digest for part, digest in digests.items() if part != "weights_sha256"},
        **({"weights": flatten(origin["weights"])} if origin.get("weights") else {}),  # earlier releases wrote none
        "md5": {out["path"]: out["md5"] for out in outs},
        "params": flatten(YAML(typ="safe", pure=True).load(provenance.folder / PARAMS)),
        "environment": {name: value for name, value in environment.items() if name != "packages"}
        | environment["packages"]
        if environment
        else {},
        "metrics": origin["metrics"],
    }
