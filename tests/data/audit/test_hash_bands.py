"""Near duplicates by an index over hash bands: the same groups as comparing every image with every other."""

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.data.findings import row_of
from vit.data.audit.duplicates import near_duplicate_groups
from vit.data.audit.frames import Frames, frame_numbers
from vit.data.audit.hash_bands import BITS, RADII, Groups, merge_similar
from vit.data.audit.scan import Scan
from vit.data.audit.table import Look, Looks


@st.composite
def pictures(draw) -> Scan:
    """Up to 60 images of a few scenes: hashes some bits from the scene's, thumbnails some levels from its grey."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 60))
    scenes = [int(random.integers(2**63)) for _ in range(draw(st.integers(1, 6)))]
    most_bits, levels = draw(st.integers(0, 12)), draw(st.integers(1, 40))
    numbered = draw(st.booleans())
    looks, rows = [], []
    for index in range(count):
        dhash = scenes[random.integers(len(scenes))]
        for bit in random.choice(64, random.integers(most_bits + 1), replace=False).tolist():
            dhash ^= 1 << bit
        thumbnail = 100 + random.integers(levels) + random.integers(0, 6, (24, 24, 3))
        looks.append(Look("PNG", 9, 6, 0.0, "", dhash, thumbnail.astype(np.uint8), ""))
        rows.append(row_of(f"a/f{index}.png" if numbered else f"a/{'x' * index}f.png"))
    return Scan(rows, Looks.of(looks), [])


def exhaustive(scan: Scan, frames: Frames) -> list[int]:
    """The groups by all pairs, numbered in the order of their first images: the rule of 0.4."""
    hashes, thumbnails = scan.hashes.tolist(), scan.thumbnails.reshape(len(scan.rows), -1).astype(np.float32)
    group = list(range(len(hashes)))

    def join(one: int, other: int, bits: int, distance: float) -> None:
        apart = np.sqrt(np.square(thumbnails[one] - thumbnails[other]).mean())
        if (hashes[one] ^ hashes[other]).bit_count() <= bits and apart <= distance:
            first, second = sorted((group[one], group[other]))
            group[:] = [first if number == second else number for number in group]

    places = zip(frames.series, frames.numbers.tolist(), range(len(group)), strict=True)
    for (name, number, one), (following, after, other) in pairwise(sorted(place for place in places if place[0])):
        if name == following and after - number <= 3:
            join(one, other, 14, 32.0)
    for one, other in combinations(range(len(hashes)), 2):
        join(one, other, 8, 8.0)
    numbers = {first: number for number, first in enumerate(sorted(set(group)))}
    return [numbers[first] for first in group]


@given(pictures())
@hypothesis_settings(max_examples=60, deadline=None)
def test_the_groups_are_those_of_comparing_all_with_all(scan):
    frames = frame_numbers(scan.rows)
    assert near_duplicate_groups(scan, frames).tolist() == exhaustive(scan, frames)


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), min_size=BITS, max_size=BITS + 1))
@hypothesis_settings(max_examples=50, deadline=None)
def test_every_pair_of_hashes_up_to_8_bits_apart_is_asked_about_and_no_other(dhash, bits):
    hashes = np.array([dhash, dhash ^ sum(1 << bit for bit in bits)], dtype=np.uint64)
    groups = Groups(2)
    merge_similar(groups, hashes, np.array([5, 9]), 4, lambda ones, others: np.ones(len(ones), dtype=bool))
    assert (groups.of[0] == groups.of[1]) == (len(bits) <= BITS)
    assert sum(radius + 1 for radius in RADII) == BITS + 1  # or hashes of 8 different bits could be missed


def test_most_pairs_of_unrelated_images_and_of_a_still_camera_are_never_compared():
    random = np.random.default_rng(0)
    count, asked = 20_000, []

    def are_close(ones, others):
        asked.append(len(ones))
        return np.ones(len(ones), dtype=bool)

    for hashes in (np.zeros(count, np.uint64), random.integers(0, 2**64, count, dtype=np.uint64)):
        groups = Groups(count)
        merge_similar(groups, hashes, random.integers(0, 400_000, count), 400_000, are_close)
        assert sum(asked) < 2 * count  # of 200 million pairs
        asked.clear()


def test_pairs_beyond_the_reach_of_their_sums_are_not_asked_about():
    hashes, sums = np.zeros(3, np.uint64), np.array([0, 100, 201])
    groups = Groups(3)
    merge_similar(groups, hashes, sums, 100, lambda ones, others: np.ones(len(ones), dtype=bool))
    assert groups.numbered().tolist() == [0, 0, 1]
