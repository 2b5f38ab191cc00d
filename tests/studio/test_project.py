"""The files that a field may name."""

import pytest

from studio.project import ALLOWED, named_path
from vit.errors import UserError


@pytest.fixture
def repo(tmp_path, monkeypatch):
    for name in ("repo/images", "beside/inner"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "repo/out").symlink_to(tmp_path / "beside")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repo"))
    monkeypatch.delenv(ALLOWED, raising=False)
    return tmp_path / "repo"


@pytest.mark.parametrize("typed", ["images", " images ", "./images/../images", "images/not there yet"])
def test_a_path_in_the_project_is_made_absolute(repo, typed):
    assert named_path(typed).is_relative_to(repo / "images")


@pytest.mark.parametrize("typed", ["/etc/passwd", "..", "../beside", "images/../../beside", "out", "out/inner"])
def test_a_path_outside_is_refused_with_the_way_out_however_it_is_written(repo, typed):
    with pytest.raises(UserError, match=r"outside this project; .*--allow FOLDER"):
        named_path(typed)


@pytest.mark.parametrize("typed", ["", "  ", "a\0b"])
def test_what_names_nothing_is_refused(repo, typed):
    with pytest.raises(UserError, match="is empty"):
        named_path(typed)


def test_a_folder_that_was_allowed_at_the_start_may_be_named_and_its_neighbours_not(repo, monkeypatch):
    monkeypatch.setenv(ALLOWED, str(repo.parent / "beside/inner"))
    assert named_path("../beside/inner/x") == repo.parent / "beside/inner/x"
    with pytest.raises(UserError):
        named_path("../beside")
