import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.presets import REPO
from vit.files import (
    project_root,
    read_json,
    read_table,
    replacing,
    replacing_folder,
    sha256_of,
    write_json,
    write_table,
)


class Interrupted(Exception):
    pass


def test_a_file_is_replaced_when_the_block_succeeds(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with replacing(target) as temporary:
        temporary.write_text("one")
    with replacing(target) as temporary:
        temporary.write_text("two")
        assert target.read_text() == "one"
    assert target.read_text() == "two"
    assert list(target.parent.iterdir()) == [target]


def stopped_while_writing(path: Path, content: str) -> None:
    path.write_text(content)
    raise Interrupted


@pytest.mark.parametrize("written", ["", "half of it"])
def test_the_old_file_stays_when_the_block_fails(tmp_path, written):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(Interrupted), replacing(target) as temporary:
        stopped_while_writing(temporary, written)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_fails_before_writing_leaves_nothing(tmp_path):
    with pytest.raises(Interrupted), replacing(tmp_path / "table.csv"):
        raise Interrupted
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole_when_the_block_succeeds(tmp_path):
    target = tmp_path / "data" / "raw"
    (target / "old_class").mkdir(parents=True)
    (target / "old_class" / "1.png").write_text("old")
    with replacing_folder(target) as temporary:
        (temporary / "new_class").mkdir()
        assert (target / "old_class" / "1.png").exists()
    assert [path.name for path in target.iterdir()] == ["new_class"]
    assert list(target.parent.iterdir()) == [target]


def test_the_old_folder_stays_when_the_block_fails(tmp_path):
    target = tmp_path / "raw"
    target.mkdir()
    (target / "1.png").write_text("old")
    with pytest.raises(Interrupted), replacing_folder(target) as temporary:
        stopped_while_writing(temporary / "2.png", "new")
    assert [path.name for path in target.iterdir()] == ["1.png"]
    assert list(tmp_path.iterdir()) == [target]


def test_sha256_is_over_the_digests_of_the_files_in_their_order(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1" * 100_000)
    two.write_bytes(b"2")
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in (one, two)]
    assert sha256_of(one, two) == hashlib.sha256(digests[0] + digests[1]).hexdigest()
    assert sha256_of(two, one) != sha256_of(one, two)


def test_sha256_tells_where_one_file_ends_and_the_next_begins(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c", "d")]
    for path, content in zip(paths, (b"ab", b"c", b"a", b"bc"), strict=True):
        path.write_bytes(content)
    assert sha256_of(*paths[:2]) != sha256_of(*paths[2:])


def test_a_table_comes_back_as_it_was_written(tmp_path):
    rows = [
        {"path": "Löwe, groß/été 1.png", "label": 'say "cat"', "n": 1},
        {"path": "line\nbreak/狗.png", "label": "", "n": 0.1},
        {"path": " edge ", "label": "\t", "n": -1e-300},
    ]
    write_table(tmp_path / "table.csv", rows)
    assert read_table(tmp_path / "table.csv") == [{key: str(value) for key, value in row.items()} for row in rows]


def test_a_float_keeps_its_last_bit_in_a_table(tmp_path):
    value = 0.1 + 0.2
    write_table(tmp_path / "table.csv", [{"loss": value}])
    assert float(read_table(tmp_path / "table.csv")[0]["loss"]) == value


def test_a_table_is_utf_8_with_one_newline_a_row(tmp_path):
    write_table(tmp_path / "table.csv", [{"label": "été", "n": 1}])
    assert (tmp_path / "table.csv").read_bytes() == "label,n\nété,1\n".encode()


def test_json_comes_back_and_is_readable_by_a_person(tmp_path):
    write_json(tmp_path / "a.json", {"classes": ["été"], "mean": 0.1 + 0.2})
    assert read_json(tmp_path / "a.json") == {"classes": ["été"], "mean": 0.1 + 0.2}
    assert '"été"' in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_the_project_is_where_dvc_says_also_in_a_throw_away_copy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert project_root() == tmp_path.resolve()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repo"))
    assert project_root() == (tmp_path / "repo").resolve()


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_goes_with_the_next_writing(tmp_path):
    dead = dead_process()
    (tmp_path / f".raw.{dead}.tmp" / "cat").mkdir(parents=True)
    (tmp_path / f".raw.{dead}.tmp" / "cat" / "1.png").write_text("half")
    (tmp_path / f".raw.json.{dead}.tmp").write_text("half")
    with replacing(tmp_path / "raw.json") as temporary:
        temporary.write_text("{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".raw.{dead}.tmp", "raw.json"]
    with replacing_folder(tmp_path / "raw"):
        assert not (tmp_path / f".raw.{dead}.tmp").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "raw.json"]


def test_what_a_process_is_writing_stays(tmp_path):
    others = [
        tmp_path / f".raw.{os.getppid()}.tmp",
        tmp_path / f".tables.{dead_process()}.tmp",
        tmp_path / ".raw.x.tmp",
    ]
    for other in others:
        other.mkdir()
    with replacing_folder(tmp_path / "raw"):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "raw"])


def test_a_folder_is_whole_again_after_its_writing_was_killed(tmp_path):
    code = (
        "import os; from pathlib import Path; from vit.files import replacing_folder as r\nwith r(Path('raw')) as f:\n"
    )
    for ending in ("(f / 'half').touch(); os.kill(os.getpid(), 9)", "(f / 'whole').touch()"):
        done = subprocess.run(
            [sys.executable, "-c", f"{code}    {ending}"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPO)}
        )
    assert done.returncode == 0
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["raw", "raw/whole"]
