"""How often the same val images were compared on: counted, kept, and paid for by the gate's confidence."""

import json

import numpy as np
import pytest

from tests.registry.conftest import champion, numbers
from vit.config.schema import RegisterParams
from vit.evaluation.paired import mcnemar, paired_bootstrap
from vit.inference.complexity import Cost
from vit.registry.comparisons import KEPT, sketch_of
from vit.registry.gate import Comparison, Figures, at_look, decide
from vit.registry.publish import publish
from vit.registry.tags import COMPARED

pytestmark = pytest.mark.long

FIGURES = Figures(val_accuracy=0.9, val_ece=0.01, leakage=0.0)
COST = Cost(parameters=1, multiply_adds=1)


def rules(**changes) -> RegisterParams:
    return RegisterParams(**RegisterParams().model_dump() | changes)


def compared(client) -> dict[str, int]:
    """The look of each comparison that is kept, by the keys of candidate and champion."""
    tags = client.get_registered_model("vit").tags
    return {key.removeprefix(COMPARED): json.loads(tags[key])["look"] for key in tags if key.startswith(COMPARED)}


def key(number: int) -> str:
    return (f"{number:02d}" * 32)[:12]


def test_all_looks_together_cost_no_more_than_the_confidence_that_was_asked_for():
    levels = [1 - at_look(rules(confidence=0.9), look).confidence for look in range(1, 10_000)]
    assert (
        levels[0] == pytest.approx(0.1) and levels[1] == pytest.approx(0.1 / 3) and levels[2] == pytest.approx(0.1 / 6)
    )
    # One of the two sides of each test promotes.
    assert 0.0999 < sum(levels) / 2 < 0.1


def promoted_of(candidates: int, generator: np.random.Generator, spending: bool) -> int:
    """How many candidates the gate makes champion that are exactly as good as the first champion, on one val set.

    Champion and candidates are right about each of 400 images with its own probability, independently of each other.
    """
    ease = generator.beta(8, 1, size=400)
    leading, promoted = generator.random(400) < ease, 0
    for look in range(1, candidates + 1):
        candidate = generator.random(400) < ease
        at = at_look(rules(confidence=0.95), look if spending else 1)
        p = mcnemar(leading, candidate)
        if candidate.sum() <= leading.sum() or p >= 1 - at.confidence:
            continue  # the bootstrap, which takes most of the time, could not change the verdict
        difference, low, high = paired_bootstrap(leading, candidate, None, at.confidence, seed=0)
        scores = (float(candidate.mean()), float(leading.mean()), difference, low, high, p)
        if decide(FIGURES, Comparison(400, *scores, COST, COST, look=look), at).promoted:
            leading, promoted = candidate, promoted + 1
    return promoted


@pytest.mark.parametrize(("candidates", "rounds"), [(1000, 8), pytest.param(1000, 400, marks=pytest.mark.slow)])
def test_of_a_thousand_useless_candidates_hardly_ever_one_is_promoted_and_without_counting_mostly_one_is(
    candidates, rounds
):
    generator = np.random.default_rng(11)
    counted = [promoted_of(candidates, generator, spending=True) for _ in range(rounds)]
    # 5 % of the rounds may promote any; binomial, so up to 2 of 8 and 33 of 400 with probability .994.
    assert sum(count > 0 for count in counted) <= (2 if rounds == 8 else 33)
    uncounted = [promoted_of(candidates, generator, spending=False) for _ in range(8)]
    assert sum(count > 0 for count in uncounted) >= 4


def test_a_clear_gain_is_still_seen_at_the_hundredth_look():
    champion_right = np.repeat([True, False], [800, 200])
    better = champion_right.copy()
    better[800:850] = True  # 5 points of 1,000 images
    at = at_look(rules(confidence=0.95), 100)
    difference, low, high = paired_bootstrap(champion_right, better, None, at.confidence, seed=0)
    assert low > 0 and mcnemar(champion_right, better) < 1 - at.confidence
    _, plain, _ = paired_bootstrap(champion_right, better, None, 0.95, seed=0)
    assert low < plain < difference < high


def test_each_comparison_on_overlapping_images_counts_and_one_on_other_images_begins_anew(publisher, client):
    first, other = publisher.parts(slice(100, 160), slice(0, 50)), publisher.parts(slice(0, 50), slice(50, 100))
    grown = publisher.parts(slice(100, 160), slice(10, 100))
    publish(publisher.content(1, 25, first), "vit")
    assert compared(client) == {}  # nothing to compare with
    for number, images in ((2, first), (3, grown), (4, other), (5, first)):
        publish(publisher.content(number, 20, images), "vit")
    found = compared(client)
    # The first champion was trained on none of them. The fourth shares images with the third alone.
    assert found == {f"{key(2)}/{key(1)}": 1, f"{key(3)}/{key(1)}": 2, f"{key(4)}/{key(1)}": 2, f"{key(5)}/{key(1)}": 3}
    assert numbers(client, "5")["look"] == 3
    assert numbers(client, "5")["confidence"] == pytest.approx(1 - 0.1 / 12)
    assert "look 3 at these images" in client.get_model_version("vit", "5").tags["gate/reason"]


@pytest.mark.slow
def test_what_the_first_look_would_promote_the_fourth_does_not(publisher, client):
    publish(publisher.content(1, right=80), "vit")
    for number in (2, 3, 4):
        publish(publisher.content(number, right=80 - number), "vit")
    publish(publisher.content(5, right=87), "vit")  # 7 of 7 disputed images: p = 1 / 64, above .1 / 20
    assert champion(client) == "1"
    assert numbers(client, "5")["p"] == pytest.approx(1 / 64)
    assert numbers(client, "5")["confidence"] == pytest.approx(0.995)
    publish(publisher.content(6, right=91), "vit")  # 11 of 11: p = 1 / 1024, below .1 / 30
    assert champion(client) == "6"


@pytest.mark.slow
def test_a_comparison_that_was_cut_off_keeps_its_number_and_is_counted_once(publisher, client):
    publish(publisher.content(1, right=80), "vit")
    publish(publisher.content(2, right=70), "vit")
    for tag in [tag for tag in client.get_model_version("vit", "2").tags if tag.startswith(("gate/", "against/"))]:
        client.delete_model_version_tag("vit", "2", tag)
    publish(publisher.content(2, right=70), "vit")
    assert compared(client) == {f"{key(2)}/{key(1)}": 1} and numbers(client, "2")["look"] == 1


@pytest.mark.slow
def test_comparisons_by_a_release_that_did_not_count_are_counted_where_the_val_split_was_the_same(publisher, client):
    publish(publisher.content(1, right=80), "vit")
    for number, right in ((2, 70), (3, 71), (4, 72)):
        publish(publisher.content(number, right), "vit")
    for tag in [tag for tag in client.get_registered_model("vit").tags if tag.startswith(COMPARED)]:
        client.delete_registered_model_tag("vit", tag)
    # Versions 2 and 5 have the val split of version 3; that of version 4 is unknown to be the same.
    client.set_model_version_tag("vit", "2", "val_sha256", "val 5")
    client.set_model_version_tag("vit", "3", "val_sha256", "val 5")
    client.set_model_version_tag("vit", "3", f"against/{key(9)}", "refused, too few images: 3 val images")
    publish(publisher.content(5, right=73), "vit")
    assert compared(client) == {f"{key(5)}/{key(1)}": 3}


def test_sets_that_share_a_tenth_share_a_digest_of_their_sketches_nearly_always():
    generator = np.random.default_rng(0)

    def images(count: int) -> list[dict[str, str]]:
        return [{"pixels_sha256": generator.bytes(32).hex()} for _ in range(count)]

    shared = 0
    for _ in range(50):
        both = images(100)
        one, other = sketch_of(both + images(450)), sketch_of(both + images(450))
        shared += not set(one).isdisjoint(other)
        assert len(one) == KEPT and set(one).isdisjoint(sketch_of(images(500)))
    assert shared >= 45
