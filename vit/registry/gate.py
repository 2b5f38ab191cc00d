"""The gate: which version of the model is the champion, and which was published last."""

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
WAS_CHAMPION = "was_champion"


def set_alias(client: MlflowClient, name: str, alias: str, version: ModelVersion) -> None:
    if _by_alias(client, name, alias) != str(version.version):
        client.set_registered_model_alias(name, alias, version.version)


def judge(client: MlflowClient, name: str, candidate: ModelVersion, may_lead: bool) -> str:
    """Make `candidate` champion if there is none or it is better on val.

    Each pair of versions is judged once, and one that was champion before and no longer is returns only by hand.
    """
    holder = _by_alias(client, name, CHAMPION)
    if holder == str(candidate.version):
        client.set_model_version_tag(name, candidate.version, WAS_CHAMPION, "true")
        return "is champion"
    if not may_lead:
        return "trained on a subset or for one fold, so it cannot become champion"
    if holder is None:
        _crown(client, name, candidate)
        return "is champion, as there was none"
    champion = client.get_model_version(name, holder)
    earlier = candidate.tags.get(_verdict_tag(champion)) or champion.tags.get(_verdict_tag(candidate))
    if earlier is not None:
        return f"was judged before against champion {holder}: {earlier}"
    if WAS_CHAMPION in candidate.tags:
        return f"was champion before {holder}; it returns only by hand"
    verdict, wins = _compare(candidate, champion)
    if wins:
        _crown(client, name, candidate)
    client.set_model_version_tag(name, candidate.version, _verdict_tag(champion), verdict)
    return f"{'is champion' if wins else f'does not replace champion {holder}'}: {verdict}"


def _crown(client: MlflowClient, name: str, version: ModelVersion) -> None:
    client.set_registered_model_alias(name, CHAMPION, version.version)
    client.set_model_version_tag(name, version.version, WAS_CHAMPION, "true")


def _verdict_tag(other: ModelVersion) -> str:
    return f"against/{other.tags['version_key'][:12]}" if "version_key" in other.tags else f"against/{other.version}"


def _compare(candidate: ModelVersion, champion: ModelVersion) -> tuple[str, bool]:
    if champion.tags.get("val_sha256") != candidate.tags["val_sha256"]:
        return "refused, they were not validated on the same images", False
    ours, theirs = (float(one.tags["best_val_accuracy"]) for one in (candidate, champion))
    return f"val accuracy {ours:.4f} against {theirs:.4f} of version {champion.version}", ours > theirs


def _by_alias(client: MlflowClient, name: str, alias: str) -> str | None:
    version = client.get_registered_model(name).aliases.get(alias)
    return None if version is None else str(version)  # a number from a database, a string from a server
