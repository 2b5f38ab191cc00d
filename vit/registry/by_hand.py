"""`python -m vit.registry promote` and `rollback`: the champion moved by a person, and the reason kept."""

import argparse

from vit.config.params_file import load_params
from vit.errors import UserError
from vit.registry.champions import BY_HAND, add_note, champion_of, crown, roll_back
from vit.registry.gate import CHAMPION
from vit.registry.lock import deciding
from vit.registry.versions import find_version, registry


def add_to(subparsers) -> None:
    """Add the commands `promote` and `rollback`."""
    promoting = subparsers.add_parser("promote", help="make a version champion, whatever the gate said")
    promoting.add_argument("version", metavar="V", help="number or alias of the version")
    promoting.add_argument("--reason", required=True, metavar="TEXT", help="why; kept on the version")
    promoting.set_defaults(run=promote)
    returning = subparsers.add_parser("rollback", help="return to the champion before")
    returning.add_argument("--reason", default="no reason given", metavar="TEXT", help="why; kept on the version")
    returning.set_defaults(run=rollback)


def promote(arguments: argparse.Namespace) -> None:
    """Make `arguments.version` champion. Raises UserError without a reason, or if it is champion already."""
    name, reason = load_params().register_.name, " ".join(arguments.reason.split())
    if not reason:
        raise UserError("--reason is empty; say why, as the next person will want to know")
    with registry() as client, deciding(client, name):
        version, champion = find_version(client, name, arguments.version), champion_of(client, name)
        if champion is not None and champion.version == version.version:
            raise UserError(f"version {version.version} of '{name}' is {CHAMPION} already; nothing to do")
        crown(client, name, version, BY_HAND, reason)
        client.set_model_version_tag(name, version.version, "promoted_by_hand", reason)
        add_note(client, name, version, f"Promoted by hand: {reason}")
    before = "there was none" if champion is None else f"before it was version {champion.version}"
    print(f"version {version.version} of '{name}' is {CHAMPION}; {before}")


def rollback(arguments: argparse.Namespace) -> None:
    """Return to the champion before. Raises UserError if there is none."""
    name = load_params().register_.name
    with registry() as client, deciding(client, name):
        moved = roll_back(client, name, " ".join(arguments.reason.split()) or "no reason given")
    if moved is None:
        raise UserError(
            f"'{name}' has no earlier champion to return to; `python -m vit.registry list` shows the versions, "
            "`python -m vit.registry promote V --reason TEXT` makes one champion"
        )
    left, returned = moved
    print(f"version {returned.version} of '{name}' is {CHAMPION} again; version {left.version} was rolled back")
