import gzip
import io
import tarfile
import zipfile

import pytest

from tests.data.copied import contents, copied
from tests.drawn import draw_classes
from vit.errors import UserError


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
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["raw", "tables"]


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


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/evil.png", "C:/evil.png", r"..\evil.png", r"a\evil.png"]
)
def test_a_zip_that_writes_outside_of_its_folder_is_refused(tmp_path, name):
    path = zipped(tmp_path / "hostile.zip", draw_classes(tmp_path / "src", {"cat": 1, "dog": 1}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(UserError, match=r"hostile\.zip: .*evil\.png.* refused"):
        copied(path, tmp_path)
    assert contents(tmp_path / "work") == {}


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "hostile.zip", draw_classes(tmp_path / "src", {"cat": 1, "dog": 1}))
    entry = zipfile.ZipInfo("pets/cat/evil.png")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, "/etc/hostname")
    with pytest.raises(UserError, match=r"hostile\.zip: member 'pets/cat/evil\.png' is a link; refused"):
        copied(path, tmp_path)
    assert contents(tmp_path / "work") == {}


def test_a_zip_larger_than_the_disk_is_refused_before_it_is_unpacked(tmp_path):
    path = zipped(tmp_path / "bomb.zip", draw_classes(tmp_path / "src", {"cat": 1, "dog": 1}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("pets/cat/bomb.png", b"boom")
        archive.filelist[-1].file_size = 2**60  # as the table of contents will say
    with pytest.raises(UserError, match=r"bomb\.zip: needs 1,152,921,504\.6 GB, .* GB are free at .*; refused"):
        copied(path, tmp_path)
    assert contents(tmp_path / "work") == {}


def test_a_tar_larger_than_the_disk_is_refused_before_it_is_unpacked(tmp_path):
    bomb = tarfile.TarInfo("pets/cat/bomb.png")
    bomb.size = 2**60
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(bomb.tobuf() + bytes(2**16)))
    with pytest.raises(UserError, match=r"bomb\.tar\.gz: needs 1,152,921,504\.6 GB, .*; refused"):
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
        {"name": "pets/cat/evil.png", "type": tarfile.SYMTYPE, "linkname": "000.png"},
        {"name": r"C:\evil.png", "size": 4},
        {"name": "pets/cat/evil.png", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5},
    ],
    ids=["parent", "absolute link", "hard link", "link inside", "drive", "device"],
)
def test_a_tar_that_reaches_outside_of_its_folder_is_refused(tmp_path, fields):
    path = hostile_tar(tmp_path, **fields)
    with pytest.raises(UserError, match=r"hostile\.tar: member '.*evil\.png' .*refused"):
        copied(path, tmp_path)
    assert contents(tmp_path / "work") == {}


def test_an_absolute_name_in_a_tar_is_refused(tmp_path):
    outside = tmp_path / "outside" / "evil.png"
    path = hostile_tar(tmp_path, name=str(outside), size=4)
    with pytest.raises(UserError, match=r"hostile\.tar: .*evil\.png.* refused"):
        copied(path, tmp_path)
    assert not outside.exists()


def test_an_archive_without_classes_is_refused_by_its_own_name(tmp_path):
    path = zipped(tmp_path / "pets.zip", draw_classes(tmp_path / "src", {"cat": 3}))
    with pytest.raises(UserError, match=r"pets\.zip: one class only"):
        copied(path, tmp_path)
