import hashlib
import io
import os
import pickle
import tarfile
import time

import numpy as np
import pytest
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from tests.data.copied import contents
from tests.drawn import draw, draw_classes, noise
from tests.local_server import Answer, serving
from tests.presets import preset
from vit.data.sources.fetch import describe, fetch
from vit.errors import UserError


def fetched(tmp_path, name="raw", **changes) -> dict:
    """Fetch into a folder of that name; what `fetch` says."""
    params = preset(tmp_path, "shapes", {f"data.{key}": value for key, value in changes.items()})
    (tmp_path / f"{name}_tables").mkdir()
    return fetch(params.data, tmp_path / name, tmp_path / f"{name}_tables")


# Digits and shapes


def test_the_digits_are_scikit_learns_pixel_for_pixel(tmp_path):
    target = tmp_path / "raw"
    fetched(tmp_path, source="digits")
    digits = load_digits()
    paths = [target / str(label) / f"{index:04d}.png" for index, label in enumerate(digits.target)]
    assert len(paths) == 1797 == sum(1 for path in target.rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert np.array_equal(np.rint(pixels * (16 / 255)), digits.images)


def test_equal_seeds_draw_equal_shapes_and_other_seeds_others(tmp_path):
    drawn = {}
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        fetched(tmp_path, name, shapes_per_class=3, seed=seed)
        drawn[name] = contents(tmp_path / name)
    assert drawn["first"] == drawn["again"]
    assert drawn["first"].keys() == drawn["other"].keys()
    assert all(drawn["first"][name] != drawn["other"][name] for name in drawn["first"])


def test_shapes_are_four_classes_of_the_asked_number_of_images(tmp_path):
    fetched(tmp_path, shapes_per_class=5)
    assert describe(tmp_path / "raw")["classes"] == {
        "checkerboard": 5,
        "diagonal_gradient": 5,
        "horizontal_bars": 5,
        "vertical_bars": 5,
    }


def test_the_mean_of_noisy_shapes_tells_their_class(tmp_path):
    fetched(tmp_path, "clean", shapes_per_class=1, shapes_noise=0.0)
    fetched(tmp_path, "noisy", shapes_per_class=40, shapes_noise=0.25)
    clean = {path.parent.name: np.asarray(Image.open(path), float) for path in (tmp_path / "clean").rglob("*.png")}
    assert min(np.abs(a - b).mean() for x, a in clean.items() for y, b in clean.items() if x != y) > 50
    for name in clean:
        mean = np.mean([np.asarray(Image.open(path), float) for path in (tmp_path / "noisy" / name).iterdir()], axis=0)
        nearest = min(clean, key=lambda other: np.abs(clean[other] - mean).mean())
        assert nearest == name


# Where a folder is


def test_a_relative_path_begins_at_the_project(tmp_path, monkeypatch):
    root = draw_classes(tmp_path / "project" / "my" / "pets", {"cat": 1, "dog": 1})
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    fetched(tmp_path, source="folder", path="my/pets")
    assert contents(tmp_path / "raw") == contents(root)


def test_in_a_throw_away_copy_a_relative_path_is_refused_and_an_absolute_one_works(tmp_path, monkeypatch):
    root = draw_classes(tmp_path / "project" / "my" / "pets", {"cat": 1, "dog": 1})
    draw_classes(tmp_path / "copy" / "my" / "pets", {"cat": 1, "dog": 1})
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    with pytest.raises(
        UserError,
        match=f"data.path 'my/pets' is relative, .*; set data.path={root}, or track it with `dvc add my/pets`$",
    ):
        fetched(tmp_path, "refused", source="folder", path="my/pets")
    fetched(tmp_path, source="folder", path=str(root))
    assert contents(tmp_path / "raw") == contents(root)


def test_a_tilde_is_refused_with_the_path_that_it_means(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/jerry")
    with pytest.raises(
        UserError, match=r"data.path '~/pets': DVC does not expand '~'; set data.path=/home/jerry/pets$"
    ):
        fetched(tmp_path, source="folder", path="~/pets")


# The record of what came


def test_the_digest_changes_with_a_name_or_a_byte_alone(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 2, "dog": 1})
    before = describe(root)
    assert before["images"] == 3 and before["classes"] == {"cat": 2, "dog": 1}
    (root / "cat" / "000.png").rename(root / "cat" / "999.png")
    renamed = describe(root)
    draw(root / "cat" / "999.png", seed=77)
    changed = describe(root)
    assert len({before["sha256"], renamed["sha256"], changed["sha256"]}) == 3
    assert describe(root) == changed


def test_the_digest_does_not_depend_on_dates(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    before = describe(root)
    os.utime(root / "cat" / "000.png", (time.time() - 1e6,) * 2)
    assert describe(root) == before


# torchvision


def batch_pixels(seed: int, count: int) -> np.ndarray:
    """Images (N, 32, 32, 3) of a batch."""
    return np.stack([noise(32, 32, 3, 100 * seed + index) for index in range(count)])


def cifar_archive(counts: dict[str, list[int]]) -> tuple[bytes, dict[str, str]]:
    """CIFAR-10's archive with these labels per batch; its bytes and the md5 of each file in it."""
    files = {"batches.meta": {"label_names": ["air/plane", "cat", "frog"]}}
    for seed, (batch, labels) in enumerate(counts.items(), start=1):
        planes = batch_pixels(seed, len(labels)).transpose(0, 3, 1, 2)  # CIFAR keeps colour after colour
        files[batch] = {"data": planes.reshape(len(labels), 3072), "labels": labels}
    packed, md5 = io.BytesIO(), {}
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            pickled = pickle.dumps(content)
            md5[name] = hashlib.md5(pickled).hexdigest()
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(pickled)
            archive.addfile(member, io.BytesIO(pickled))
    return packed.getvalue(), md5


@pytest.fixture
def cifar(monkeypatch) -> bytes:
    """The archive of seven images that the real CIFAR10 class now takes for its own."""
    archive, md5 = cifar_archive({"data_batch_1": [0, 1, 1], "data_batch_2": [2], "test_batch": [2, 0, 1]})
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "tgz_md5", hashlib.md5(archive).hexdigest())
    monkeypatch.setattr(cls, "train_list", [[name, md5[name]] for name in ("data_batch_1", "data_batch_2")])
    monkeypatch.setattr(cls, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(cls, "meta", cls.meta | {"md5": md5["batches.meta"]})
    return archive


def test_a_torchvision_data_set_keeps_its_parts(tmp_path, cifar, monkeypatch):
    with serving(lambda path, body: Answer(200, cifar)) as address:
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{address}/cifar-10-python.tar.gz")
        known = fetched(tmp_path, source="torchvision", torchvision_name="CIFAR10")
    assert known == {"version": f"torchvision {torchvision.__version__}"}
    batches = [batch_pixels(seed, count) for seed, count in ((1, 3), (2, 1), (3, 3))]
    expected = {  # the labels of the fixture, batch by batch
        "air_plane/train/000000.png": batches[0][0],
        "cat/train/000001.png": batches[0][1],
        "cat/train/000002.png": batches[0][2],
        "frog/train/000003.png": batches[1][0],
        "frog/test/000000.png": batches[2][0],
        "air_plane/test/000001.png": batches[2][1],
        "cat/test/000002.png": batches[2][2],
    }
    raw = tmp_path / "raw"
    found = {path.relative_to(raw).as_posix(): np.asarray(Image.open(path)) for path in raw.rglob("*.png")}
    assert {name: pixels.tobytes() for name, pixels in found.items()} == {
        name: pixels.tobytes() for name, pixels in expected.items()
    }
    assert describe(raw)["parts"] == {"test": 3, "train": 4}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "raw", "raw_tables"]


def test_a_torchvision_data_set_without_parts_gets_none(tmp_path, monkeypatch):
    rows = "".join(f"{'1 ' * 256}{'0 ' * label}1{' 0' * (9 - label)}\n" for label in (7, 2, 7)).encode()
    cls = torchvision.datasets.SEMEION
    monkeypatch.setattr(cls, "md5_checksum", hashlib.md5(rows).hexdigest())
    with serving(lambda path, body: Answer(200, rows)) as address:
        monkeypatch.setattr(cls, "url", f"{address}/semeion.data")
        fetched(tmp_path, source="torchvision", torchvision_name="SEMEION")
    assert set(contents(tmp_path / "raw")) == {"7/000000.png", "2/000001.png", "7/000002.png"}
    assert "parts" not in describe(tmp_path / "raw")


def test_a_torchvision_data_set_without_a_test_part_is_pooled(tmp_path, monkeypatch):
    root = tmp_path / "imagenette2"
    for part, wnid, count in (("train", "n01440764", 2), ("train", "n03028079", 1), ("val", "n03028079", 1)):
        for index in range(count):
            draw(root / part / wnid / f"{index}.jpeg")
    (root / "val" / "n01440764").mkdir()
    draw(root / "val" / "n01440764" / "0.jpeg")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(root, arcname="imagenette2")
    with serving(lambda path, body: Answer(200, packed.getvalue())) as address:
        known = (f"{address}/imagenette2.tgz", hashlib.md5(packed.getvalue()).hexdigest())
        monkeypatch.setattr(torchvision.datasets.Imagenette, "_ARCHIVES", {"full": known})
        fetched(tmp_path, source="torchvision", torchvision_name="Imagenette")
    assert set(contents(tmp_path / "raw")) == {
        "tench/train_000000.png",
        "tench/train_000001.png",
        "tench/val_000000.png",
        "church/train_000002.png",
        "church/val_000001.png",
    }


@pytest.mark.parametrize("answer", [Answer(404), Answer(200, b"another archive")], ids=["absent", "wrong md5"])
def test_a_torchvision_data_set_that_cannot_be_had_is_refused_by_name(tmp_path, cifar, monkeypatch, answer):
    with serving(lambda path, body: answer) as address:
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{address}/cifar-10-python.tar.gz")
        with pytest.raises(UserError, match="could not get 'CIFAR10'"):
            fetched(tmp_path, source="torchvision", torchvision_name="CIFAR10")


@pytest.mark.parametrize("name", ["CIFAR11", "FakeData", "ImageFolder", "vision"])
def test_a_name_that_torchvision_cannot_download_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=f"'{name}' is not a downloadable data set"):
        fetched(tmp_path, source="torchvision", torchvision_name=name)


def test_a_torchvision_data_set_of_captions_is_refused(tmp_path, monkeypatch):
    photo = draw(tmp_path / "photo.png").read_bytes()
    archive = {}

    def answer(path: str, body: bytes) -> Answer:
        return Answer(200, photo if path.endswith(".png") else archive["bytes"])

    with serving(answer) as address:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as opened:
            for name, text in (("urls", f"{address}/photo.png\n"), ("captions", "a cat\n")):
                member = tarfile.TarInfo(f"dataset/SBU_captioned_photo_dataset_{name}.txt")
                member.size = len(text)
                opened.addfile(member, io.BytesIO(text.encode()))
        archive["bytes"] = packed.getvalue()
        monkeypatch.setattr(torchvision.datasets.SBU, "url", f"{address}/photos.tar.gz")
        monkeypatch.setattr(torchvision.datasets.SBU, "md5_checksum", hashlib.md5(archive["bytes"]).hexdigest())
        with pytest.raises(UserError, match="SBU is not a classification data set: its targets are str"):
            fetched(tmp_path, source="torchvision", torchvision_name="SBU")
