"""Which work of `vit keep` is done, asked of the repo's own store first: a turn with nothing to do ends at once."""

from vit.registry import own
from vit.registry.tags import RENEWED


def version_of_work(name: str, work: str) -> int | None:
    """The version of the registered model that this work ended in, if it was done.

    Raises UserError if the store does not respond.
    """
    known = own.versions(name)
    if known is not None:
        tagged = [one.version for one in known[1] if f"{RENEWED}{work}" in one.tags]
        return max(tagged, default=None)
    from vit.registry.versions import registry

    with registry() as client:
        found = client.search_model_versions(f"name = '{name}' and tags.`{RENEWED}{work}` = 'done'")
        return max((int(version.version) for version in found), default=None)
