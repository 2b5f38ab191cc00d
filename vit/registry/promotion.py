"""The champion moved by a person, and the reason kept."""

from mlflow.entities.model_registry import ModelVersion

from vit.errors import UserError
from vit.registry.champions import BY_HAND, add_note, champion_of, make_champion, roll_back
from vit.registry.gate import CHAMPION
from vit.registry.lock import deciding
from vit.registry.versions import find_version, registry


def promote(name: str, asked: str, reason: str) -> tuple[ModelVersion, ModelVersion | None]:
    """Make a version, by number or alias, champion whatever the gate said; it and the champion before, if any.

    Raises UserError without a reason, or if it is champion already.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise UserError("--reason is empty; say why, as the next person will want to know")
    with registry() as client, deciding(client, name):
        version, champion = find_version(client, name, asked), champion_of(client, name)
        if champion is not None and champion.version == version.version:
            raise UserError(f"version {version.version} of '{name}' is {CHAMPION} already; nothing to do")
        make_champion(client, name, version, BY_HAND, reason)
        client.set_model_version_tag(name, version.version, "promoted_by_hand", reason)
        add_note(client, name, version, f"Promoted by hand: {reason}")
    return version, champion


def rollback(name: str, reason: str) -> tuple[ModelVersion, ModelVersion]:
    """Return to the champion before; what was left and what it returned to. Raises UserError if there is none."""
    with registry() as client, deciding(client, name):
        moved = roll_back(client, name, " ".join(reason.split()) or "no reason given")
    if moved is None:
        raise UserError(
            f"'{name}' has no earlier champion to return to; `vit registry list` shows the versions, "
            "`vit registry promote V --reason TEXT` makes one champion"
        )
    return moved
