import resource

import numpy as np
import pytest

from tests.data.findings import look_of, row_of
from vit.data.audit.duplicates import exact_duplicates, near_duplicate_groups
from vit.data.audit.frames import frame_numbers
from vit.data.audit.scan import Scan
from vit.data.audit.table import Look, Looks
from vit.data.manifest import Row


def scan_of(pictures: dict[str, Look]) -> Scan:
    return Scan([row_of(path) for path in pictures], Looks.of(pictures.values()), [])


def alike(scan: Scan) -> set[frozenset[str]]:
    """The groups of more than one image, by path."""
    groups = near_duplicate_groups(scan, frame_numbers(scan.rows)).tolist()
    named = [frozenset(row.path for row, other in zip(scan.rows, groups, strict=True) if other == g) for g in groups]
    return {group for group in named if len(group) > 1}


def test_equal_pixels_are_kept_once_by_the_first_path():
    found = exact_duplicates(scan_of({"a/2.png": look_of(1), "a/1.png": look_of(1), "a/3.png": look_of(2)}))
    assert (found.keep.tolist(), found.copies, found.contradictory) == ([1, 2], [(0, 1)], [])


@pytest.mark.parametrize(
    ("parts", "kept"), [(("train", "test"), "test"), (("train", "val"), "val"), (("val", "test"), "test")]
)
def test_of_equal_pixels_in_given_parts_the_one_furthest_from_train_is_kept(parts, kept):
    pictures = {f"a/{part}/{name}.png": look_of(1) for part, name in zip(parts, "12", strict=True)}
    found = exact_duplicates(scan_of(pictures))
    assert [list(pictures)[index].split("/")[1] for index in found.keep] == [kept]
    assert len(found.copies) == 1


def test_equal_pixels_under_two_labels_are_left_out_of_everything():
    pictures = {"a/1.png": look_of(1), "b/1.png": look_of(1), "b/2.png": look_of(1), "b/3.png": look_of(2)}
    found = exact_duplicates(scan_of(pictures))
    assert (found.keep.tolist(), found.copies, found.contradictory) == ([3], [], [0, 1, 2])


def numbered(paths: list[str]) -> dict[str, tuple[str, int]]:
    frames = frame_numbers([row_of(path) for path in paths])
    return dict(zip(paths, zip(frames.series, frames.numbers.tolist(), strict=True), strict=True))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("cat/frame12.jpg", ("frame#", 12)),
        ("cat/S01E02_0045.png", ("S01E02_#", 45)),
        ("cat/0007.png", ("#", 7)),
        ("cat/take3/left-9-final.png", ("take3/left-#-final", 9)),
        ("cat/test/frame3.png", ("frame#", 3)),  # a given part is no part of the name
        ("été/Überblick №5.webp", ("Überblick №#", 5)),
        ("猫/画像٤٢.png", ("画像#", 42)),  # Arabic-Indic digits are digits too
        ("cat/first.jpg", ("", -1)),
        ("cat/frame12", ("frame#", 12)),  # without an ending
        ("cat/take.1/frame12", ("take.1/frame#", 12)),
        ("cat/IMG.0012", ("IMG.#", 12)),  # a number is no ending
        ("cat/v2.tar.jpg", ("v#.tar", 2)),
        ("cat/20240131235959123456.jpg", ("", -1)),  # 20 digits are more than int64 holds
        ("cat/12_20240131235959123456.jpg", ("", -1)),
        (f"cat/{'9' * 18}.jpg", ("#", 10**18 - 1)),
    ],
)
def test_a_name_gives_series_and_number(path, place):
    assert numbered([path]) == {path: place}


def test_numbers_that_repeat_between_classes_stay_in_their_class():
    assert numbered(["cat/1.png", "cat/2.png", "dog/1.png"]) == {
        "cat/1.png": ("cat/#", 1),
        "cat/2.png": ("cat/#", 2),
        "dog/1.png": ("dog/#", 1),
    }


def across(labels: str) -> set[str]:
    """The series that count as videos, of frames numbered from 0 with these labels, a letter each."""
    return frame_numbers([row_of(f"{label}/frame{number}.jpg") for number, label in enumerate(labels)]).across_classes


def test_numbers_count_as_a_video_only_where_labels_change_back_and_forth():
    assert across("aaaabbbbaaabbbaabbaabb") == {"frame#"}  # 7 changes between 2 labels
    assert across("aabbaabbaabbaa") == {"frame#"}  # 6 changes are 3 for each label
    assert across("aabbaabbaabb") == set()  # 5 are not
    assert across("aaaaaaabbbbbbbbccccccc") == set()  # given class by class
    assert across("aaaaaaaaaaa") == set()


def test_a_video_whose_numbers_repeat_in_another_class_is_none():
    rows = [row_of(f"{label}/frame{number}.jpg") for number, label in enumerate("aabbaabbaabbaa")]
    assert frame_numbers([*rows, row_of("c/frame0.jpg")]).across_classes == set()


def bits(count: int) -> int:
    """A hash that differs from 0 in so many bits."""
    return 2**count - 1


# Like pictures of any names: at most 8 of 64 bits and 8 grey levels apart.
@pytest.mark.parametrize(("apart", "grey", "joined"), [(8, 8, True), (9, 0, False), (0, 9, False), (0, 0, True)])
def test_any_two_images_are_near_duplicates_up_to_8_bits_and_8_grey_levels(apart, grey, joined):
    found = alike(scan_of({"a/x.png": look_of(0, 0, "x"), "b/y.png": look_of(grey, bits(apart), "y")}))
    assert found == ({frozenset({"a/x.png", "b/y.png"})} if joined else set())


# Neighbours by number: at most 3 numbers, 14 bits and 32 grey levels apart.
@pytest.mark.parametrize(
    ("step", "apart", "grey", "joined"),
    [(3, 14, 32, True), (4, 14, 32, False), (1, 15, 0, False), (1, 0, 33, False), (1, 14, 32, True)],
)
def test_neighbouring_frames_are_near_duplicates_up_to_14_bits_and_32_grey_levels(step, apart, grey, joined):
    paths = ("a/f1.png", f"a/f{1 + step}.png")
    found = alike(scan_of(dict(zip(paths, (look_of(), look_of(grey, bits(apart))), strict=True))))
    assert found == ({frozenset(paths)} if joined else set())


def test_frames_are_chained_over_their_numbers_though_first_and_last_are_unlike():
    shot = {f"a/f{number}.png": look_of(30 * number) for number in range(9)}  # 0 to 240 grey levels
    cut = {f"a/f{number}.png": look_of(30 * (number - 9), 2**64 - 1) for number in range(9, 12)}  # all bits change
    assert alike(scan_of(shot | cut)) == {frozenset(shot), frozenset(cut)}


def test_equal_numbers_of_two_series_are_no_neighbours():
    assert alike(scan_of({"a/f1.png": look_of(0), "a/g2.png": look_of(30)})) == set()


def test_groups_do_not_depend_on_the_order_of_the_images():
    random = np.random.default_rng(0)
    pictures = {f"a/{name}.png": look_of(int(random.integers(60)), 0, str(name)) for name in range(300)}
    shuffled = dict(random.permutation(np.array(list(pictures.items()), dtype=object)).tolist())
    assert list(shuffled) != list(pictures)
    assert alike(scan_of(pictures)) == alike(scan_of(shuffled))


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("still", [False, True], ids=["unrelated pictures", "a camera that stands still"])
def test_three_thousand_images_are_compared_in_seconds(still):
    # 20,000 take 1.4 s of CPU (unrelated) and 4.4 s (still) where 3,000 take a fraction; a loop over the 4.5 million
    # pairs of 3,000 images, each with the distance of its thumbnails, takes minutes.
    random = np.random.default_rng(0)
    count, (low, high) = 3000, (100, 104) if still else (0, 256)
    hashes = [0] * count if still else random.integers(0, 2**63, count).tolist()
    thumbnails = random.integers(low, high, (count, 24, 24, 3), dtype=np.uint8)
    looks = Looks.of(Look("PNG", 9, 6, 0.0, "", hashes[index], thumbnails[index], "") for index in range(count))
    rows = [Row(f"a/{index:04d}.png", "a", "") for index in range(count)]
    began = cpu_seconds()
    groups = near_duplicate_groups(Scan(rows, looks, []), frame_numbers(rows))
    assert cpu_seconds() - began < 15
    assert len(set(groups.tolist())) == (1 if still else count)
