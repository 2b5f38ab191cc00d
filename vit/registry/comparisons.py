"""Comparisons on the same val images, counted: of many candidates that are no better, the luckiest looks better.

The gate spends its error rate over the looks at a set of val images: look k gets the share 1 / (k (k + 1)), and the
shares of all looks, however many come, add up to 1 (alpha spending, as in Foster and Stine 2008, "Alpha-investing"). By
Bonferroni's inequality that holds however alike the candidates are. It also covers candidates that were chosen by
earlier refusals, because a refusal tells no more than that (Blum and Hardt 2015, "The Ladder").
"""

import json
from collections.abc import Container, Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from vit.registry.champions import key_of
from vit.registry.lock import deciding
from vit.registry.tags import AGAINST, COMPARED

KEPT, DIGITS = 32, 8  # of a set's image digests, those that sort first, and how many digits of each
NOT_COMPARED = (
    "too few images",
    "not comparable",
    "different classes",
    "unknown training images",
    "a floor is not met",
)


def sketch_of(images: Sequence[Mapping[str, str]]) -> list[str]:
    """A sketch of a set of images: the first digests of their pixels in sorted order (Broder 1997).

    If two sets share a tenth of their union, their sketches share a digest in 97 % of all cases.
    """
    return sorted(row["pixels_sha256"] for row in images)[:KEPT]


def count_look(
    client: MlflowClient,
    name: str,
    candidate: ModelVersion,
    champion: ModelVersion,
    images: Sequence[Mapping[str, str]],
) -> int:
    """Record that these two are compared on these val images; the number of the look, from 1.

    Looks count if their images overlap with these. A pair whose comparison was cut off keeps its number. Call it before
    the comparison, so that no two get the same number, and not within `deciding`.
    """
    pair = f"{COMPARED}{key_of(candidate)}/{key_of(champion)}"
    sketch = [digest[:DIGITS] for digest in sketch_of(images)]
    with deciding(client, name):
        tags = client.get_registered_model(name).tags
        if pair in tags:
            return json.loads(tags[pair])["look"]
        looks = {key: json.loads(value) for key, value in tags.items() if key.startswith(COMPARED)}
        earlier = sum(not set(sketch).isdisjoint(look["images"]) for look in looks.values())
        number = 1 + earlier + len(_uncounted(client, name, candidate, looks))
        client.set_registered_model_tag(name, pair, json.dumps({"look": number, "images": sketch}))
    return number


def _uncounted(client: MlflowClient, name: str, candidate: ModelVersion, counted: Container[str]) -> set[str]:
    """Comparisons by releases that did not count: of versions whose whole val split is the candidate's."""
    split = candidate.tags.get("val_sha256")
    versions = client.search_model_versions(f"name = '{name}'")
    return {
        pair
        for version in versions
        for tag, said in version.tags.items()
        if tag.startswith(AGAINST)
        and tag != f"{AGAINST}none"
        and split is not None
        and version.tags.get("val_sha256") == split
        and not any(f", {outcome}" in said for outcome in NOT_COMPARED)
        and (pair := f"{COMPARED}{key_of(version)}/{tag.removeprefix(AGAINST)}") not in counted
    }
