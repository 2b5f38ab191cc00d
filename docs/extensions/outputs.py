"""What the stages write: their files, in the order of dvc.yaml, and the figures of metrics/*.json."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from ruamel.yaml import YAML

from vit.config.files import SPLIT_METRICS, TEST_METRICS, TRAIN_METRICS
from vit.config.outputs import FIGURES, FILES
from vit.evaluation.metrics import METRICS, Kind

KINDS = {
    Kind.SHARE: "in [0, 1], 1 is best",
    Kind.ERROR: "0 is best",
}


def files(docs: Path) -> str:
    """A section per stage of dvc.yaml: what it does, what it reads and each file that it writes."""
    stages = YAML(typ="safe", pure=True).load(docs.parent / "dvc.yaml")["stages"]
    return "\n\n".join(text for name, stage in stages.items() for text in _stage(name, stage))


def _stage(name: str, stage: Mapping) -> Iterator[str]:
    yield f"## {name}\n\n{stage['desc']}."
    yield f"Runs `{stage['cmd']}` with the parameters {_codes(stage['params'])}."
    if read := [dep for dep in stage["deps"] if not dep.endswith(".py")]:
        yield f"Reads {_codes(read)}."
    outs = [*stage.get("outs", []), *(path for metric in stage.get("metrics", []) for path in metric)]
    yield _entries({str(file): text for out in outs for file, text in FILES.items() if _is_within(file, Path(out))})


def _is_within(file: Path, out: Path) -> bool:
    return file == out or out in file.parents


def figures(docs: Path) -> str:
    """A section per file of metrics/: the headline metrics with their intervals, then the others."""
    headline = {f"test_{metric.name}": f"{metric.meaning}; {KINDS[metric.kind]}" for metric in METRICS}
    sections = []
    for file in (TEST_METRICS, SPLIT_METRICS, TRAIN_METRICS):
        sections.append(f"## {file}\n\n{_sentence(FILES[file])}")
        if file == TEST_METRICS:
            sections.append("Each of these has its confidence interval beside it, as `NAME_low` and `NAME_high`:")
            sections += [_entries(headline), "And without an interval:"]
        sections.append(_entries(FIGURES[file]))
    return "\n\n".join(sections)


def _entries(meanings: Mapping[str, str]) -> str:
    return "\n\n".join(f"`{name}`\n: {_sentence(text)}" for name, text in meanings.items())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _codes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
