import gzip
import hashlib
import io
import os
import pickle
import tarfile
import time
import zipfile

import numpy as np
import pytest
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from tests.drawn import draw, draw_classes, noise
from tests.local_server import Answer, serving
from tests.presets import preset
from vit.data.sources import copy_classes, describe, fetch
from vit.errors import UserError
from vit.params import DataParams


def data_params(tmp_path, **changes) -> DataParams:
    return preset(tmp_path, "shapes", {f"data.{key}": value for key, value in changes.items()}).data


def contents(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def copied(source, tmp_path) -> dict[str, bytes]:
    target = tmp_path / "work" / "raw"
    target.mkdir(parents=True)
    copy_classes(source, target)
    return contents(target)


# Digits and shapes


def test_the_digits_are_scikit_learns_pixel_for_pixel(tmp_path):
    target = tmp_path / "raw"
    fetch(data_params(tmp_path, source="digits"), target)
    digits = load_digits()
    paths = [target / str(label) / f"{index:04d}.png" for index, label in enumerate(digits.target)]
    assert len(paths) == 1797 == sum(1 for path in target.rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert np.array_equal(np.rint(pixels * (16 / 255)), digits.images)


def test_equal_seeds_draw_equal_shapes_and_other_seeds_others(tmp_path):
    drawn = {}
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        fetch(data_params(tmp_path, shapes_per_class=3, seed=seed), tmp_path / name)
        drawn[name] = contents(tmp_path / name)
    assert drawn["first"] == drawn["again"]
    assert drawn["first"].keys() == drawn["other"].keys()
    assert all(drawn["first"][name] != drawn["other"][name] for name in drawn["first"])


def test_shapes_are_four_classes_of_the_asked_number_of_images(tmp_path):
    fetch(data_params(tmp_path, shapes_per_class=5), tmp_path / "raw")
    assert describe(tmp_path / "raw")["classes"] == {
        "checkerboard": 5,
        "diagonal_gradient": 5,
        "horizontal_bars": 5,
        "vertical_bars": 5,
    }


def test_the_mean_of_noisy_shapes_tells_their_class(tmp_path):
    fetch(data_params(tmp_path, shapes_per_class=1, shapes_noise=0.0), tmp_path / "clean")
    fetch(data_params(tmp_path, shapes_per_class=40, shapes_noise=0.25), tmp_path / "noisy")
    clean = {path.parent.name: np.asarray(Image.open(path), float) for path in (tmp_path / "clean").rglob("*.png")}
    assert min(np.abs(a - b).mean() for x, a in clean.items() for y, b in clean.items() if x != y) > 50
    for name in clean:
        mean = np.mean([np.asarray(Image.open(path), float) for path in (tmp_path / "noisy" / name).iterdir()], axis=0)
        nearest = min(clean, key=lambda other: np.abs(clean[other] - mean).mean())
        assert nearest == name


# A folder


def test_classes_are_found_at_depth_beside_other_files(tmp_path):
    root = tmp_path / "download" / "tom_and_jerry"
    images = {
        f"{label}/frame{n}.jpg": draw(root / "tom_and_jerry" / label / f"frame{n}.jpg", seed=n).read_bytes()
        for label, n in (("jerry", 0), ("jerry", 1), ("tom", 2), ("tom_jerry_0", 3), ("tom_jerry_1", 4))
    }
    (root / "ground_truth.csv").write_text("filename,tom,jerry\n")
    (root / "tom_and_jerry" / "challenges.csv").write_text("folder,image_name\n")
    assert copied(tmp_path / "download", tmp_path) == images


def test_folders_inside_a_class_belong_to_it(tmp_path):
    draw(tmp_path / "pets" / "cat" / "indoors" / "1.png", seed=1)
    draw(tmp_path / "pets" / "cat" / "outdoors" / "1.png", seed=2)
    draw(tmp_path / "pets" / "cat" / "2.png", seed=3)
    draw(tmp_path / "pets" / "dog" / "1.png", seed=4)
    assert set(copied(tmp_path / "pets", tmp_path)) == {
        "cat/2.png",
        "cat/indoors/1.png",
        "cat/outdoors/1.png",
        "dog/1.png",
    }


def test_endings_count_in_any_case(tmp_path):
    for label, name in (("a", "1.PNG"), ("a", "2.JpEg"), ("b", "3.TIF")):
        draw(tmp_path / "pets" / label / name)
    assert set(copied(tmp_path / "pets", tmp_path)) == {"a/1.PNG", "a/2.JpEg", "b/3.TIF"}


def test_what_file_browsers_leave_behind_is_no_image(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    for stray in (".DS_Store", "cat/.DS_Store", "cat/._000.png", "cat/.hidden.png", ".thumbnails/000.png"):
        (root / stray).parent.mkdir(exist_ok=True)
        (root / stray).write_bytes(b"\0")
    draw(root / "__MACOSX" / "cat" / "000.png")
    (root / "dog" / "notes.txt").write_text("woof")
    assert set(copied(root, tmp_path)) == {"cat/000.png", "dog/000.png"}


def test_names_may_hold_spaces_and_any_letters(tmp_path):
    names = {"weiße Katze/été 1.png", "犬/2 (copy).png", "100% dog/#3.png"}
    for name in names:
        draw(tmp_path / "my pets" / name)
    assert set(copied(tmp_path / "my pets", tmp_path)) == names


def test_equal_file_names_in_two_classes_stay_two_images(tmp_path):
    first = draw(tmp_path / "pets" / "cat" / "1.png", seed=1).read_bytes()
    second = draw(tmp_path / "pets" / "dog" / "1.png", seed=2).read_bytes()
    assert copied(tmp_path / "pets", tmp_path) == {"cat/1.png": first, "dog/1.png": second}


def test_the_source_is_only_read(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 2, "dog": 2})
    image = root / "cat" / "000.png"
    image.chmod(0o440)
    os.utime(image, ns=(10**18, 10**18))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode, path.stat().st_ino) for path in root.rglob("*")}
    bytes_before = contents(root)
    copied(root, tmp_path)
    assert contents(root) == bytes_before
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode, path.stat().st_ino) for path in before} == before


def test_a_copy_can_be_changed_without_changing_the_source(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    copied(root, tmp_path)
    copy = tmp_path / "work" / "raw" / "cat" / "000.png"
    assert not copy.is_symlink() and copy.stat().st_nlink == 1


def test_a_relative_path_begins_at_the_project(tmp_path, monkeypatch):
    root = draw_classes(tmp_path / "project" / "my" / "pets", {"cat": 1, "dog": 1})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    fetch(data_params(tmp_path, source="folder", path="my/pets"), tmp_path / "raw")
    assert contents(tmp_path / "raw") == contents(root)


def test_a_class_folder_behind_a_link_is_not_left_out_in_silence(tmp_path):
    root = draw_classes(tmp_path / "pets", {"cat": 1, "dog": 1})
    draw_classes(tmp_path / "elsewhere", {"bird": 1})
    (root / "bird").symlink_to(tmp_path / "elsewhere" / "bird")
    try:
        names = set(copied(root, tmp_path))
    except UserError as error:
        assert "bird" in str(error)  # noqa: PT017
    else:
        assert names == {"bird/000.png", "cat/000.png", "dog/000.png"}


# Archives


def tar_gz(path, root):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(root, arcname="pets")
    return path


def zipped(path, root):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, f"pets/{file.relative_to(root)}")
    return path


@pytest.mark.parametrize(("pack", "name"), [(zipped, "my pets.ZIP"), (tar_gz, "pets.tar.gz"), (tar_gz, "pets.tgz")])
def test_an_archive_gives_the_images_of_its_folder(tmp_path, pack, name):
    root = draw_classes(tmp_path / "été", {"Käfer 1": 2, "dog": 1})
    archive = pack(tmp_path / name, root)
    before = archive.read_bytes()
    assert copied(archive, tmp_path) == contents(root)
    assert archive.read_bytes() == before
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["raw"]


def corrupted_zip(tmp_path):
    path = zipped(tmp_path / "bad.zip", draw_classes(tmp_path / "src", {"cat": 1, "dog": 1}))
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    return path


def truncated_zip(tmp_path):
    path = zipped(tmp_path / "bad.zip", draw_classes(tmp_path / "src", {"cat": 1, "dog": 1}))
    path.write_bytes(path.read_bytes()[:-60])
    return path


def encrypted_zip(tmp_path):
    path = zipped(tmp_path / "bad.zip", draw_classes(tmp_path / "src", {"cat": 1, "dog": 1}))
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # bit 0 of the flags of each member
        at = content.find(signature)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(signature, at + 4)
    path.write_bytes(content)
    return path


def truncated_tar_gz(tmp_path):
    path = tar_gz(tmp_path / "bad.tar.gz", draw_classes(tmp_path / "src", {"cat": 2, "dog": 2}))
    path.write_bytes(path.read_bytes()[:-200])
    return path


def text_called_tar(tmp_path):
    path = tmp_path / "bad.tar"
    path.write_text("not found" * 200)
    return path


@pytest.mark.parametrize(
    "broken", [corrupted_zip, truncated_zip, encrypted_zip, truncated_tar_gz, text_called_tar], ids=lambda f: f.__name__
)
def test_an_archive_that_cannot_be_unpacked_is_refused_by_name(tmp_path, broken):
    path = broken(tmp_path)
    with pytest.raises(UserError, match=rf"{path.name}: "):
        copied(path, tmp_path)
    assert contents(tmp_path / "work") == {}


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png"])
def test_a_zip_that_writes_outside_of_its_folder_is_refused(tmp_path, name):
    path = zipped(tmp_path / "hostile.zip", draw_classes(tmp_path / "src", {"cat": 1, "dog": 1}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(UserError, match=r"hostile\.zip: .*evil\.png.* refused"):
        copied(path, tmp_path)
    assert contents(tmp_path / "work") == {}


def hostile_tar(tmp_path, **fields):
    path = tar_gz(tmp_path / "ok.tar.gz", draw_classes(tmp_path / "src", {"cat": 1, "dog": 1}))
    hostile = tmp_path / "hostile.tar"
    hostile.write_bytes(gzip.decompress(path.read_bytes()))
    member = tarfile.TarInfo()
    for field, value in fields.items():
        setattr(member, field, value)
    with tarfile.open(hostile, "a") as archive:
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    return hostile


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "../evil.png", "size": 4},
        {"name": "pets/cat/evil.png", "type": tarfile.SYMTYPE, "linkname": "/etc/hostname"},
        {"name": "pets/cat/evil.png", "type": tarfile.LNKTYPE, "linkname": "../../../outside.png"},
        {"name": "pets/cat/evil.png", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5},
    ],
    ids=["parent", "absolute link", "hard link", "device"],
)
def test_a_tar_that_reaches_outside_of_its_folder_is_refused(tmp_path, fields):
    path = hostile_tar(tmp_path, **fields)
    with pytest.raises(UserError, match=r"hostile\.tar: .*refused"):
        copied(path, tmp_path)
    assert contents(tmp_path / "work") == {}


def test_an_absolute_name_in_a_tar_is_refused(tmp_path):
    outside = tmp_path / "outside" / "evil.png"
    path = hostile_tar(tmp_path, name=str(outside), size=4)
    with pytest.raises(UserError, match=r"hostile\.tar: .*evil\.png.* refused"):
        copied(path, tmp_path)
    assert not outside.exists()


# What is no data set


def nothing(root):
    root.mkdir()


def only_texts(root):
    (root / "cat").mkdir(parents=True)
    (root / "cat" / "notes.txt").write_text("meow")


def one_class(root):
    draw_classes(root, {"cat": 3})


def images_without_classes(root):
    draw(root / "1.png")
    draw(root / "2.png")


def one_image_alone(root):
    draw(root / "1.png")


def loose_image(root):
    draw_classes(root, {"cat": 1, "dog": 1})
    draw(root / "stray.png")


def already_split(root):
    draw_classes(root / "Train", {"cat": 1, "dog": 1})
    draw_classes(root / "test", {"cat": 1, "dog": 1})


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (nothing, "no images found"),
        (only_texts, "no images found"),
        (one_class, "one class only"),
        (images_without_classes, "director"),
        (one_image_alone, "one class only"),
        (loose_image, "'stray.png' lies beside the class directories"),
        (already_split, "already split into Train, test"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_folder_without_classes_is_refused_by_what_it_lacks(tmp_path, make, fragment):
    make(tmp_path / "pets")
    with pytest.raises(UserError) as caught:
        copied(tmp_path / "pets", tmp_path)
    assert str(tmp_path / "pets") in str(caught.value)
    assert fragment in str(caught.value)


def test_the_part_of_a_split_data_set_can_be_taken_alone(tmp_path):
    draw_classes(tmp_path / "pets" / "train", {"cat": 1, "dog": 1})
    assert set(copied(tmp_path / "pets", tmp_path)) == {"cat/000.png", "dog/000.png"}


def test_an_archive_without_classes_is_refused_by_its_own_name(tmp_path):
    path = zipped(tmp_path / "pets.zip", draw_classes(tmp_path / "src", {"cat": 3}))
    with pytest.raises(UserError, match=r"pets\.zip: one class only"):
        copied(path, tmp_path)


def test_a_missing_path_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"data\.path .*absent: no such folder or archive"):
        copied(tmp_path / "absent", tmp_path)


def test_a_file_that_is_no_archive_is_refused_by_name(tmp_path):
    path = draw(tmp_path / "cat.png")
    with pytest.raises(UserError, match=r"cat\.png: neither a folder nor an archive \(\.zip"):
        copied(path, tmp_path)


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


def test_both_parts_of_a_torchvision_data_set_are_pooled_by_class(tmp_path, cifar, monkeypatch):
    with serving(lambda path, body: Answer(200, cifar)) as address:
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{address}/cifar-10-python.tar.gz")
        version = fetch(data_params(tmp_path, source="torchvision", torchvision_name="CIFAR10"), tmp_path / "raw")
    assert version == f"torchvision {torchvision.__version__}"
    batches = [batch_pixels(seed, count) for seed, count in ((1, 3), (2, 1), (3, 3))]
    expected = {  # the labels of the fixture, batch by batch
        "air_plane": {batches[0][0].tobytes(), batches[2][1].tobytes()},
        "cat": {batches[0][1].tobytes(), batches[0][2].tobytes(), batches[2][2].tobytes()},
        "frog": {batches[1][0].tobytes(), batches[2][0].tobytes()},
    }
    found = {
        folder.name: {np.asarray(Image.open(path)).tobytes() for path in folder.iterdir()}
        for folder in (tmp_path / "raw").iterdir()
    }
    assert found == expected
    assert describe(tmp_path / "raw")["images"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "raw"]


@pytest.mark.parametrize("answer", [Answer(404), Answer(200, b"another archive")], ids=["absent", "wrong md5"])
def test_a_torchvision_data_set_that_cannot_be_had_is_refused_by_name(tmp_path, cifar, monkeypatch, answer):
    with serving(lambda path, body: answer) as address:
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{address}/cifar-10-python.tar.gz")
        with pytest.raises(UserError, match="could not get 'CIFAR10'"):
            fetch(data_params(tmp_path, source="torchvision", torchvision_name="CIFAR10"), tmp_path / "raw")


@pytest.mark.parametrize("name", ["CIFAR11", "FakeData", "ImageFolder", "vision"])
def test_a_name_that_torchvision_cannot_download_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=f"'{name}' is no downloadable data set"):
        fetch(data_params(tmp_path, source="torchvision", torchvision_name=name), tmp_path / "raw")


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
        with pytest.raises(UserError, match="SBU is no classification data set: its targets are str"):
            fetch(data_params(tmp_path, source="torchvision", torchvision_name="SBU"), tmp_path / "raw")
