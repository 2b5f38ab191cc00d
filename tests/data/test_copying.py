from pathlib import Path

import pytest

from vit.data.sources.copying import Copier


def test_a_copy_is_a_file_of_its_own_whether_the_file_system_clones_or_not(tmp_path):
    copier = Copier()
    for number in range(3):  # what the first copy found out about the file system holds for the others
        source, copy = tmp_path / f"{number}.png", tmp_path / f"copy{number}.png"
        source.write_bytes(bytes([number]) * 100_000)
        copier.copy(source, copy)
        assert copy.read_bytes() == source.read_bytes()
        assert not copy.is_symlink() and copy.stat().st_ino != source.stat().st_ino and source.stat().st_nlink == 1
        copy.write_bytes(b"changed")
        assert source.read_bytes() == bytes([number]) * 100_000


def test_between_two_file_systems_files_are_copied(tmp_path):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    (memory / f"vit-{tmp_path.name}").write_bytes(b"1234")
    try:
        Copier().copy(memory / f"vit-{tmp_path.name}", tmp_path / "copy")
    finally:
        (memory / f"vit-{tmp_path.name}").unlink()
    assert (tmp_path / "copy").read_bytes() == b"1234"


def test_a_source_that_cannot_be_read_is_an_error_and_not_an_empty_copy(tmp_path):
    with pytest.raises(FileNotFoundError):
        Copier().copy(tmp_path / "absent.png", tmp_path / "copy.png")
