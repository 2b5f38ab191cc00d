"""The newest version of a source that has versions, as the parameters that pin it; nothing is downloaded."""

from vit.config.schema import DataParams
from vit.data.sources.huggingface import newest_commit
from vit.data.sources.kaggle import newest_version


def newest(data: DataParams, hub_branch: str) -> dict[str, object]:
    """The keys of section `data` that pin it; {} for a source without versions, and for one that is pinned to stay.

    `data.hub_revision` is always a commit, so a data set of the hub follows the branch `hub_branch`. Raises UserError
    if the source cannot be asked.
    """
    if data.source == "kaggle":
        return newest_version(data)
    return newest_commit(data, hub_branch) if data.source == "huggingface" else {}
