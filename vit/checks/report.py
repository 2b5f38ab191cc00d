"""The answers as a page and as data, next to their plots and sheets."""

from pathlib import Path

from vit.checks.answer import Answer
from vit.checks.questions import Question
from vit.files import write_json, write_text


def entry(question: Question, answer: Answer, seconds: float) -> dict:
    """An answer as `--json` prints it."""
    return {
        "question": question.name,
        "text": question.text,
        "verdict": str(answer.verdict),
        "evidence": answer.evidence,
        "way_out": answer.way_out,
        "files": [path.as_posix() for path in answer.files],
        "seconds": round(seconds, 1),
    }


def write_report(folder: Path, entries: list[dict]) -> None:
    """`report.json` and `report.md`, which shows the pictures."""
    write_json(folder / "report.json", entries)
    lines = ["# vit check", ""]
    for one in entries:
        lines += [f"## {one['verdict'].upper()}: {one['text']}", "", f"{one['evidence']}.", ""]
        if one["way_out"]:
            lines += [f"Way out: {one['way_out']}.", ""]
        for name in (Path(file).name for file in one["files"]):
            lines += [f"![{name}]({name})" if name.endswith(".png") else f"[{name}]({name})", ""]
    write_text(folder / "report.md", "\n".join(lines))
