"""What classes lose, images of one colour, and transparency on the wrong background."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stages.split
from tests.drawn import draw, draw_classes
from tests.presets import write_preset
from vit.data.audit.findings import audit
from vit.data.audit.losses import find_flat, find_losses
from vit.data.audit.scan import Drawn
from vit.data.images import load_image
from vit.data.manifest import list_images
from vit.errors import UserError


def audited(raw: Path, allowed: float = 1.0, background: str = "white"):
    return audit(raw, list_images(raw), allowed, Drawn(background=background))


def frames(folder: Path, count: int, colour: str = "black") -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.new("RGB", (16, 16), colour).save(folder / f"{index:03d}.png")


def test_a_class_of_equal_frames_that_collapses_to_one_image_is_refused_or_said(tmp_path):
    draw_classes(tmp_path, {"cat": 40})
    frames(tmp_path / "black", 30)
    findings = audited(tmp_path)
    with pytest.raises(UserError) as refused:
        find_losses(findings, 0.01)
    assert str(refused.value) == (
        "class 'black' keeps 1 of 30 images: 29 copies of another image. That is more than a tenth of a class and more "
        "than split.max_broken_fraction 0.01. Repair the source, remove the class, or raise split.max_broken_fraction"
    )
    assert find_losses(findings, 0.97) == ["class 'black' keeps 1 of 30 images: 29 copies of another image"]
    assert find_flat(findings) == ["1 image is of one colour or nearly so: 1 of 1 in class 'black'"]


def test_every_reason_counts_for_the_class_that_it_concerns(tmp_path):
    draw_classes(tmp_path, {"cat": 10, "dog": 10})
    (tmp_path / "cat" / "broken.png").write_bytes(b"")
    draw(tmp_path / "cat" / "copy.png", 1)
    draw(tmp_path / "cat" / "other.png", 50)
    draw(tmp_path / "dog" / "other.png", 50)
    findings = audited(tmp_path)
    assert find_losses(findings, 0.5) == [
        "class 'cat' keeps 10 of 13 images: 1 unreadable, 1 copies of another image, "
        "1 identical to an image of another class"
    ]
    with pytest.raises(UserError, match="class 'cat' keeps 10 of 13"):  # the dog that is lost is 1 of 11
        find_losses(findings, 0.2)


@pytest.mark.parametrize(
    ("copies", "told"), [(1, []), (2, ["class 'cat' keeps 9 of 11 images: 2 copies of another image"])]
)
def test_a_tenth_of_a_class_is_lost_without_a_word(tmp_path, copies, told):
    draw_classes(tmp_path, {"cat": 9})
    for copy in range(copies):
        draw(tmp_path / "cat" / f"copy{copy}.png", 0)
    assert find_losses(audited(tmp_path), 1.0) == told


def test_many_lost_classes_are_cut_after_five(tmp_path):
    for label in "abcdefgh":
        frames(tmp_path / label, 3, f"#{ord(label):02x}0000")
    with pytest.raises(
        UserError, match=r"class 'e' keeps 1 of 3 images: 2 copies of another image; and 3 more classes\. "
    ):
        find_losses(audited(tmp_path), 0.0)


def test_constant_and_nearly_constant_images_are_counted_by_class(tmp_path):
    draw_classes(tmp_path, {"cat": 4, "dog": 4})
    frames(tmp_path / "dog" / "frames", 1)
    for index in range(3):  # one grey level of 255 up or down
        pixels = np.random.default_rng(index).integers(90, 92, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "cat" / f"grey{index}.png")
    speck = np.zeros((64, 64), dtype=np.uint8)
    speck[3, 4] = 255
    Image.fromarray(speck).save(tmp_path / "cat" / "a star.png")
    assert find_flat(audited(tmp_path)) == [
        "4 images are of one colour or nearly so: 3 of 8 in class 'cat', 1 of 5 in class 'dog'"
    ]


def icons(root: Path, colour: tuple[int, int, int], labels: str = "ab", count: int = 6) -> None:
    """Icons that differ in alpha alone: squares of a class's width at many places."""
    for label in labels:
        (root / label).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            alpha = np.zeros((24, 24), dtype=np.uint8)
            size = 6 if label == "a" else 12
            alpha[index : index + size, 2 * index : 2 * index + size] = 255
            pixels = np.dstack([np.full((24, 24, 3), colour, dtype=np.uint8), alpha])
            Image.fromarray(pixels).save(root / label / f"{index}.png")


@pytest.mark.parametrize(("colour", "background", "shows"), [
    ((255, 255, 255), "white", "black"), ((0, 0, 0), "black", "white"), ((128, 128, 128), "gray", "black"),
])  # fmt: skip
def test_icons_that_vanish_on_their_background_end_in_one_line_that_names_another(tmp_path, colour, background, shows):
    icons(tmp_path, colour)
    with pytest.raises(UserError) as refused:
        audited(tmp_path, background=background)
    line = str(refused.value)
    assert line.startswith(
        "no image is left: all 12 have pixels that occur under two labels, such as a/0.png and b/0.png"
    )
    assert f"12 are of one colour because transparent pixels become {background}; set pack.background=" in line
    ground = line.rpartition("=")[2]
    assert ground == shows or colour == (128, 128, 128)
    assert len(audited(tmp_path, background=ground).rows) == 12


def test_one_class_of_icons_that_vanishes_is_told_with_the_way_out(tmp_path):
    draw_classes(tmp_path, {"cat": 12})
    icons(tmp_path, (255, 255, 255), labels="a")
    findings = audited(tmp_path)
    advice = "6 images are of one colour because transparent pixels become white; set pack.background=black."
    assert find_flat(findings)[1] == advice
    with pytest.raises(UserError, match=f"5 copies of another image.* {advice}"):
        find_losses(findings, 0.01)
    assert find_flat(audited(tmp_path, background="black")) == []


def test_equal_pixels_under_two_labels_leave_nothing_and_one_line(tmp_path, monkeypatch, caplog):
    for label in ("a", "b"):
        frames(tmp_path / "data/raw" / label, 3)
    monkeypatch.chdir(tmp_path)
    write_preset(tmp_path / "params.yaml", "shapes")
    with pytest.raises(UserError) as refused:
        stages.split.main()
    assert str(refused.value) == (
        "no image is left: all 6 have pixels that occur under two labels, such as a/000.png and b/000.png; check the "
        "files and their labels"
    )


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0), ("gray", 128)])
def test_what_is_transparent_takes_the_colour_of_the_background(tmp_path, background, level):
    icons(tmp_path, (200, 100, 50), "a", 1)
    image = load_image(tmp_path / "a/0.png", (24, 24), 3, "crop", background=background)
    assert image[0, 0].tolist() == [200, 100, 50] and image[-1, -1].tolist() == [level] * 3
