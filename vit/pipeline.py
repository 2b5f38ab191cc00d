"""`make deps`: writes the dependencies in dvc.yaml from imports, and docs/reference/parameters.md from the schema."""

import re
from pathlib import Path

from vit.config.document import REFERENCE, reference
from vit.config.files import DVC_YAML
from vit.data.sources.fetch import SOURCES
from vit.files import write_text
from vit.source_code import import_closure

# They do not affect stage outputs: DVC tracks parameters by section, and MLflow only publishes.
EXEMPT = ("vit/config/", "vit/serving/", "vit/registry/", "vit/tracking/", "vit/source_code.py")
STAGE = re.compile(r"^  (\w+):\n(?:    .*\n)*?    deps:\n((?:      - .*\n)+)", re.M)


def code_of(stage: str, root: Path = Path()) -> set[str]:
    """The Python files that a stage's outputs depend on, relative to `root`."""
    return import_closure(root, f"stages/{stage}.py", EXEMPT)


def with_code_dependencies(pipeline: str, root: Path = Path()) -> str:
    """The text of dvc.yaml with each stage's imported code and the paths that sources watch; the rest is unchanged."""

    def rewritten(match: re.Match) -> str:
        listed = [line.strip().removeprefix("- ") for line in match[2].splitlines()]
        others = {dep for dep in listed if not dep.endswith(".py")}
        if match[1] == "download":
            others = {dep for dep in others if not dep.startswith("$")}
            others |= {path for source in SOURCES.values() for path in source.watched}
        deps = sorted(others | code_of(match[1], root), key=lambda dep: (not dep.startswith("$"), dep))
        return match[0].removesuffix(match[2]) + "".join(f"      - {dep}\n" for dep in deps)

    return STAGE.sub(rewritten, pipeline)


if __name__ == "__main__":
    write_text(DVC_YAML, with_code_dependencies(DVC_YAML.read_text(encoding="utf-8")))
    write_text(REFERENCE, reference())
