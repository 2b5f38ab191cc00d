"""The champion alias, and its history in tags of the registered model."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from vit.registry.gate import CHAMPION
from vit.registry.tags import ROLLED_BACK, WAS_CHAMPION

GATE, BY_HAND, ROLLBACK, FOUND = "gate", "by hand", "rollback", "found"  # found: the alias was moved by other means
HISTORY = "champions/"  # followed by the step's number
NOTES = "\n\n### How it fared\n"


@dataclass(frozen=True)
class Step:
    """One move of the alias: what moved it, to which version (its `key_of` and its number then), why and when."""

    moved_by: str
    key: str
    version: str
    reason: str
    at: str


def key_of(version: ModelVersion) -> str:
    """A permanent name of a version, from its content: its number changes when its run is deleted for good."""
    return version.tags["version_key"][:12] if "version_key" in version.tags else f"version {version.version}"


def champion_of(client: MlflowClient, name: str) -> ModelVersion | None:
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if number is None else client.get_model_version(name, str(number))


def history(model: RegisteredModel) -> list[Step]:
    """All moves of the alias, oldest first."""
    numbered = {key: value for key, value in model.tags.items() if key.startswith(HISTORY)}
    return [Step(**json.loads(numbered[key])) for key in sorted(numbered)]


def line(steps: Iterable[Step]) -> list[str]:
    """The champions by key, each preceded by the one that a rollback returns to; the current champion is last.

    A rollback removes all champions after the one that it returns to, as does moving the alias back by hand.
    """
    keys: list[str] = []
    for step in steps:
        if step.moved_by in (ROLLBACK, FOUND) and step.key in keys:
            del keys[keys.index(step.key) + 1 :]
        else:
            keys.append(step.key)
    return keys


def make_champion(client: MlflowClient, name: str, version: ModelVersion, moved_by: str, reason: str) -> None:
    """Make `version` champion and record it; call it only within `deciding`."""
    steps = _up_to_date(client, name)
    client.set_registered_model_alias(name, CHAMPION, version.version)
    client.set_model_version_tag(name, version.version, WAS_CHAMPION, "true")
    if ROLLED_BACK in version.tags and moved_by == BY_HAND:
        client.delete_model_version_tag(name, version.version, ROLLED_BACK)
    _append(client, name, steps, version, moved_by, reason)


def roll_back(client: MlflowClient, name: str, reason: str) -> tuple[ModelVersion, ModelVersion] | None:
    """Return to the latest previous champion that still exists and was not rolled back; call it within `deciding`.

    Returns the version that was rolled back and the one that is champion again; None if there is no previous champion.
    """
    steps = _up_to_date(client, name)
    present = champion_of(client, name)
    if present is None:
        return None
    found = {key_of(version): version for version in client.search_model_versions(f"name = '{name}'")}
    before = [found[key] for key in line(steps) if key in found and key != key_of(present)]
    before = [version for version in before if ROLLED_BACK not in version.tags]
    if not before:
        return None
    make_champion(client, name, before[-1], ROLLBACK, reason)
    client.set_model_version_tag(name, present.version, ROLLED_BACK, f"{_now()}, {reason}")
    add_note(client, name, present, f"{_now()} rolled back to version {before[-1].version}: {reason}")
    return present, before[-1]


def add_note(client: MlflowClient, name: str, version: ModelVersion, text: str) -> None:
    """Append a line to the version's description, once."""
    described = client.get_model_version(name, version.version).description or ""
    if f"- {text}\n" not in described:
        described += f"{'' if NOTES in described else NOTES}- {text}\n"
        client.update_model_version(name, version.version, described)


def with_notes(card: str, described: str | None) -> str:
    """A new model card followed by the notes of the old description."""
    _, marker, notes = (described or "").partition(NOTES)
    return card + marker + notes


def _up_to_date(client: MlflowClient, name: str) -> list[Step]:
    """The history, including a champion that was set by other means."""
    steps, present = history(client.get_registered_model(name)), champion_of(client, name)
    if present is not None and key_of(present) not in line(steps)[-1:]:
        steps = _append(client, name, steps, present, FOUND, "the alias was set by other means")
    return steps


def _append(
    client: MlflowClient, name: str, steps: list[Step], version: ModelVersion, moved_by: str, reason: str
) -> list[Step]:
    step = Step(moved_by, key_of(version), str(version.version), reason, _now())
    client.set_registered_model_tag(name, f"{HISTORY}{len(steps) + 1:05d}", json.dumps(asdict(step)))
    return [*steps, step]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
