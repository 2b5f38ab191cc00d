"""Images without labels: what must not be learned from is left out, with the reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from vit.config.pack import PackParams
from vit.data.images import SETTINGS, load_image
from vit.data.unlabelled import find_unlabelled, read_unlabelled
from vit.errors import UserError
from vit.files import write_json, write_table


def picture(seed: int) -> Image.Image:
    """Smooth blobs, so that a slight change stays a near duplicate and another picture is none."""
    blobs = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize((96, 96), Image.Resampling.BICUBIC)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for part, seeds in {"train": (0, 1), "val": (2, 3), "test": (4, 5)}.items():
        rows = []
        for seed in seeds:
            path = Path("raw/a", f"{seed}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(seed).save(path)
            rows.append({"path": f"a/{seed}.png", "label": "a", "group": f"a/{seed}.png"})
        write_table(Path(f"splits/{part}.csv"), rows)
    settings = PackParams(image_size=[16, 24], margin=0.25).model_dump(include=set(SETTINGS))
    write_json(Path("packed/preprocessing.json"), settings)
    write_json(Path("packed/mode.json"), {"mode": "arrays"})
    for seed in (10, 11):
        path = Path(f"unlabelled/deep/er/{seed}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
    Path("unlabelled/README.md").write_text("not an image")
    return tmp_path


def found(**changes):
    settings = PackParams(image_size=[16, 24], margin=0.25, **changes).model_dump(include=set(SETTINGS))
    return find_unlabelled(Path("unlabelled"), Path("raw"), Path("splits"), settings)


def test_copies_and_near_duplicates_of_val_and_test_images_are_left_out_those_of_train_are_not(project):
    picture(2).save("unlabelled/same.png")
    picture(3).save("unlabelled/other_format.bmp")
    picture(4).save("unlabelled/compressed.jpg", quality=85)
    picture(4).resize((140, 140)).save("unlabelled/larger.webp", lossless=True)
    ImageEnhance.Brightness(picture(5)).enhance(1.03).save("unlabelled/brighter.png")
    picture(0).save("unlabelled/of_train.png")
    Path("unlabelled/cut_off.png").write_bytes(Path("raw/a/0.png").read_bytes()[:60])
    Path("unlabelled/away.png").symlink_to("/nowhere.png")
    images = found()
    assert [row.path for row in images.rows] == ["deep/er/10.png", "deep/er/11.png", "of_train.png"]
    assert images.counts() == {"unreadable": 1, "near val": 2, "near test": 3, "link": 1}
    reasons = {row["path"]: (row["reason"], row["detail"]) for row in images.left_out}
    assert reasons["other_format.bmp"] == ("near val", "a/3.png")
    assert reasons["brighter.png"] == ("near test", "a/5.png")
    assert "broken image" in reasons["cut_off.png"][1]


def test_images_are_preprocessed_as_train_images_are(project):
    for mode in ({"mode": "arrays"}, {"mode": "none", "workers": 1}):
        write_json(Path("packed/mode.json"), mode)
        temporary = Path(mode["mode"])
        temporary.mkdir()
        part = read_unlabelled(found(), Path("unlabelled"), Path("packed"), temporary)
        ((images, _),) = part.in_order(10)
        assert images.shape == (2, 20, 30, 3)
        first = load_image(Path("unlabelled/deep/er/10.png"), [16, 24], 3, "crop", margin=0.25, keep_margin=True)
        assert torch.equal(images[0], torch.tensor(first))


def test_nothing_to_learn_from_is_refused_with_the_way_out(project):
    for seed in (10, 11):
        Path(f"unlabelled/deep/er/{seed}.png").unlink()
    with pytest.raises(
        UserError, match=r"no image to learn from in unlabelled/; put images there .* pretrain.epochs to 0"
    ):
        found()
    picture(2).save("unlabelled/same.png")
    with pytest.raises(UserError, match=r"as 1 were left out, such as same.png \(near val\); put"):
        found()


@pytest.mark.parametrize("name", ["more.zip", "deep/MORE.TAR.GZ"])
def test_an_archive_among_the_images_is_refused_instead_of_ignored(project, name):
    Path("unlabelled", name).write_bytes(b"anything")
    with pytest.raises(UserError, match=f"unlabelled/{name} is an archive, and its images would be ignored; unpack it"):
        found()
