"""What came of a training of `vit keep` in the MLflow store, and what that is told: work is done, turns fail."""

from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from vit.errors import UserError
from vit.registry.champions import champion_of
from vit.registry.tags import ALARM, RENEWED
from vit.registry.versions import registry, run_of


@dataclass(frozen=True)
class Outcome:
    """A version with its run, the champion that it was judged against and its run, and the champion's number now."""

    version: ModelVersion
    run: Run
    before: ModelVersion | None
    run_before: Run | None
    champion: str | None

    @property
    def leads(self) -> bool:
        return self.champion == str(self.version.version)


def outcome_of(name: str, version_key: str) -> Outcome:
    """The version with this key, and what the gate compared it with. Raises UserError if it was not published."""
    with registry() as client:
        found = client.search_model_versions(f"name = '{name}' and tags.version_key = '{version_key}'")
        if not found:
            raise UserError(f"no version of '{name}' has the key {version_key[:12]} of this training; run again")
        version = max(found, key=lambda one: int(one.version))
        known = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
        before = known.get(version.tags.get("gate/champion", "none"))
        champion = champion_of(client, name)
        return Outcome(
            version=version,
            run=run_of(client, version),
            before=before,
            run_before=None if before is None or before.run_id is None else run_of(client, before),
            champion=None if champion is None else str(champion.version),
        )


def mark_done(name: str, outcome: Outcome, work: str, report: list[Path]) -> None:
    """Add the report to the run, then say that this work is done: a turn that is cut off before is repeated."""
    with registry() as client:
        for file in report:
            client.log_artifact(outcome.run.info.run_id, str(file), "keep")
        client.set_model_version_tag(name, outcome.version.version, f"{RENEWED}{work}", "done")


def raise_alarm(name: str, error: str) -> None:
    """Tag the champion, if there is one; a server tells its webhooks of it. Raises UserError if the store is away."""
    with registry() as client:
        if client.search_registered_models(f"name = '{name}'") and (champion := champion_of(client, name)):
            client.set_model_version_tag(name, champion.version, ALARM, error)


def end_alarm(name: str) -> None:
    """Remove the alarm from whichever version has it. Raises UserError if the store is away."""
    with registry() as client:
        for version in client.search_model_versions(f"name = '{name}'"):
            if ALARM in version.tags:
                client.delete_model_version_tag(name, version.version, ALARM)
