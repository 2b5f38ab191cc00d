"""Judging a version: whether the gate makes it champion, and what MLflow keeps of the verdict."""

import json
from dataclasses import asdict
from functools import partial

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from vit.registry.champions import GATE, add_note, champion_of, key_of, make_champion
from vit.registry.comparisons import count_look
from vit.registry.evidence import Candidacy, Incomparable, compare, figures_of
from vit.registry.gate import Verdict, at_look, decide, missed_floors
from vit.registry.lock import deciding
from vit.registry.tags import AGAINST, ROLLED_BACK, WAS_CHAMPION

NEVER_LEADS = Verdict(False, "trained on a subset or a fold", "such a model becomes champion only by hand")


def judge(client: MlflowClient, name: str, candidate: ModelVersion, candidacy: Candidacy) -> str:
    """Make `candidate` champion if the gate allows it; returns the outcome as words that follow "which".

    Each pair of versions is judged once, and the verdict is kept on the candidate; a former champion returns only by
    hand. A comparison may take long, so it is made before the lock on the alias is taken, and repeated if the champion
    has changed meanwhile.
    """
    while True:
        candidate = client.get_model_version(name, candidate.version)
        champion = champion_of(client, name)
        settled = _settled(client, name, candidate, champion, candidacy)
        if settled is not None:
            return settled
        unfinished = candidate.tags.get(_against(champion))  # a process was killed between its verdict and the alias
        verdict, numbers = (None, {}) if unfinished else _weigh(client, name, candidate, champion, candidacy)
        with deciding(client, name):
            present = client.get_model_version(name, candidate.version)
            if _number(champion_of(client, name)) != _number(champion):
                continue  # another process was faster, so the pair has changed
            if present.tags.get(_against(champion)) != unfinished:
                continue  # another process judged this pair
            if verdict is not None:
                _keep(client, name, candidate, champion, verdict, numbers)
            reason = unfinished or (verdict.reason if verdict is not None and verdict.promoted else None)
            if reason is not None:
                make_champion(client, name, candidate, GATE, reason)
            return _sentence(champion, verdict) if verdict is not None else f"is now champion: {unfinished}"


def _settled(
    client: MlflowClient, name: str, candidate: ModelVersion, champion: ModelVersion | None, candidacy: Candidacy
) -> str | None:
    """The candidate's outcome if there is nothing to judge, else None."""
    if _number(champion) == _number(candidate):
        if WAS_CHAMPION not in candidate.tags:
            client.set_model_version_tag(name, candidate.version, WAS_CHAMPION, "true")
        return "is champion"
    if WAS_CHAMPION in candidate.tags:
        past = "was rolled back" if ROLLED_BACK in candidate.tags else "was champion before"
        return f"{past} and returns only by hand: vit registry promote {candidate.version} --reason TEXT"
    if not candidacy.may_lead:
        if candidate.tags.get("gate/outcome") != NEVER_LEADS.outcome:
            _keep(client, name, candidate, champion, NEVER_LEADS, {})
        return "cannot become champion because it was trained on a subset or for one fold"
    kept = candidate.tags.get(_against(champion))
    if kept is not None and not kept.startswith("promoted"):
        return f"was judged before{_over(champion)}: {kept}"
    if kept is None and champion is not None and _against(candidate) in champion.tags:
        return (
            f"does not replace champion {champion.version}, which was judged against it: "
            + (champion.tags[_against(candidate)])
        )
    return None


def _weigh(
    client: MlflowClient, name: str, candidate: ModelVersion, champion: ModelVersion | None, candidacy: Candidacy
) -> tuple[Verdict, dict[str, object]]:
    """The verdict and its numbers."""
    figures = figures_of(candidacy)
    numbers: dict[str, object] = {**asdict(figures)}
    if champion is None or missed_floors(figures, candidacy.rules):
        return decide(figures, None, candidacy.rules), numbers
    counting = partial(count_look, client, name, candidate, champion)
    try:
        comparison = compare(client, name, candidacy, candidate, champion, counting)
    except Incomparable as refusal:
        return refusal.verdict, numbers
    rules = at_look(candidacy.rules, comparison.look)
    kept = rules.model_dump(include={"confidence", "margin"})
    return decide(figures, comparison, rules), numbers | asdict(comparison) | kept


def _keep(
    client: MlflowClient,
    name: str,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    verdict: Verdict,
    numbers: dict[str, object],
) -> None:
    """Write tags and description; the verdict on the pair is written last, so that it exists only if all else does."""
    tags = {
        "gate/decision": "promoted" if verdict.promoted else "refused",
        "gate/outcome": verdict.outcome,
        "gate/reason": verdict.reason,
        "gate/champion": _number(champion),
        "gate/numbers": json.dumps(numbers),
    }
    for key, value in tags.items():
        client.set_model_version_tag(name, candidate.version, key, value)
    add_note(client, name, candidate, f"Gate{_over(champion)}: {verdict}")
    if verdict is not NEVER_LEADS:
        client.set_model_version_tag(name, candidate.version, _against(champion), str(verdict))


def _sentence(champion: ModelVersion | None, verdict: Verdict) -> str:
    if verdict.promoted:
        return (
            f"is now champion because there was none: {verdict.numbers}"
            if champion is None
            else f"is now champion: {verdict.reason}"
        )
    replaces = "is not champion" if champion is None else f"does not replace champion {champion.version}"
    return f"{replaces}: {verdict.reason}"


def _against(champion: ModelVersion | None) -> str:
    """The tag that stores the verdict on a pair."""
    return f"{AGAINST}{'none' if champion is None else key_of(champion)}"


def _over(champion: ModelVersion | None) -> str:
    return "" if champion is None else f" against champion {champion.version}"


def _number(version: ModelVersion | None) -> str:
    return "none" if version is None else str(version.version)
