"""Moving the champion by hand, with the reason recorded."""

from mlflow.entities.model_registry import ModelVersion

from vit.errors import UserError
from vit.registry.champions import BY_HAND, add_note, champion_of, make_champion, roll_back
from vit.registry.gate import CHAMPION
from vit.registry.lock import deciding
from vit.registry.versions import find_version, registry


def promote(name: str, asked: str, reason: str) -> tuple[ModelVersion, ModelVersion | None]:
    """Make a version, given by number or alias, champion; returns it and the previous champion, if any.

    Raises UserError if there is no reason, or if it already is champion.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise UserError("--reason is empty; say why, for the next person who wonders")
    with registry() as client, deciding(client, name):
        version, champion = find_version(client, name, asked), champion_of(client, name)
        if champion is not None and champion.version == version.version:
            raise UserError(f"version {version.version} of '{name}' is already {CHAMPION}; nothing to do")
        make_champion(client, name, version, BY_HAND, reason)
        client.set_model_version_tag(name, version.version, "promoted_by_hand", reason)
        add_note(client, name, version, f"Promoted by hand: {reason}")
    return version, champion


def rollback(name: str, reason: str) -> tuple[ModelVersion, ModelVersion]:
    """Return to the previous champion; the version rolled back and the new champion. Raises UserError if none."""
    with registry() as client, deciding(client, name):
        moved = roll_back(client, name, " ".join(reason.split()) or "no reason given")
    if moved is None:
        raise UserError(
            f"'{name}' has no previous champion to return to; `vit registry list` shows the versions, and "
            "`vit registry promote V --reason TEXT` makes one champion"
        )
    return moved
