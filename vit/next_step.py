"""What a person would do next, given the state of the project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALWAYS = ["always changed"]  # what DVC says of a stage that runs at every repro


@dataclass(frozen=True)
class NextStep:
    """A sentence, and the command that it is about, if there is one."""

    sentence: str
    command: tuple[str, ...] = ()


def changed_stages(status: Mapping[str, Sequence[object]]) -> list[str]:
    """The stages of `dvc status` that the next `dvc repro` reruns because something changed, or may rerun."""
    return [name for name, reasons in status.items() if list(reasons) != ALWAYS]


def next_step(
    problem: str | None, changed: Sequence[str], running: Sequence[str], name: str, versions: Sequence[Mapping]
) -> NextStep:
    """The next step.

    Takes the error of params.yaml or None, the stages that changed, the names of running trainings, the model's name
    and its versions as `vit.registry.overview.versions_of` lists them, newest first.
    """
    if problem is not None:
        return NextStep(f"Correct params.yaml: {problem}")
    if running:
        return NextStep(f"Watch {', '.join(running)} on the page Train.")
    if changed:
        several = "stages" if len(changed) > 1 else "stage"
        return NextStep(f"Rerun the {several} that changed ({', '.join(changed)}) and publish:", ("dvc", "repro"))
    champion = next((one for one in versions if "champion" in one["aliases"]), None)
    if champion is None:
        if not versions:
            return NextStep("Publish a first version:", ("dvc", "repro"))
        return NextStep("No version is champion. Read why on the page Runs, or with:", ("vit", "registry", "list"))
    challenger = next((one for one in versions if "challenger" in one["aliases"]), champion)
    if challenger is not champion:
        references = (f"models:/{name}@champion", f"models:/{name}@challenger")
        return NextStep(
            f"Compare version {challenger['version']} with the champion, version {champion['version']}:",
            ("vit", "compare", *references),
        )
    return NextStep(
        "All is up to date. Ask the champion on the page Ask, try other parameters on the page Train, or serve it:",
        serve_command(name),
    )


def serve_command(name: str) -> tuple[str, ...]:
    """What serves the champion of the registered model `name`."""
    return ("mlflow", "models", "serve", "-m", f"models:/{name}@champion", "--env-manager", "local")


def reasons(entries: Sequence[object]) -> list[str]:
    """Why DVC calls a stage changed, one line per file or parameter."""
    lines = []
    for entry in entries:
        if isinstance(entry, Mapping):
            lines += [line for kind, changes in entry.items() for line in _lines(str(kind), changes)]
        else:
            lines.append(str(entry))
    return lines


def _lines(kind: str, changes: object) -> list[str]:
    """`kind` is "changed deps" or "changed outs"; a parameter file holds its changed keys once more."""
    if not isinstance(changes, Mapping):
        return [f"{kind}: {changes}"]
    found = []
    for name, change in changes.items():
        if isinstance(change, Mapping):
            found += [f"{key} {said}" for key, said in change.items()]
        else:
            found.append(f"{name} {change}")
    return found
