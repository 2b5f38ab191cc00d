"""Changing a few keys of params.yaml."""

import pytest

from tests.presets import whole_preset
from vit.config.changes import Change, changed
from vit.config.params_file import load_params
from vit.errors import UserError


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(whole_preset("digits").replace("\n\n", "\n# mine\n\n", 1))
    return path


def test_the_named_keys_change_and_all_else_stays_with_the_comment_at_the_top(params):
    before = params.read_text()
    text, changes = changed({"data.source": "folder", "data.path": "a b/$x", "data.seed": 0}, params)
    assert changes == [Change("data.source", "digits", "folder"), Change("data.path", "images", '"a b/$x"')]
    assert params.read_text() == before  # nothing is written yet
    params.write_text(text)
    assert load_params(params).data.path == "a b/$x"
    differing = [line for line in text.splitlines() if line not in before.splitlines()]
    assert [line.split(":")[0].strip() for line in differing] == ["source", "path"] and "# mine" in text


def test_no_change_gives_the_same_text(params):
    assert changed({"data.source": "digits"}, params) == (params.read_text(), [])


def test_a_wrong_value_is_refused_in_the_words_of_the_schema(params):
    with pytest.raises(UserError, match="source huggingface needs hub_name"):
        changed({"data.source": "huggingface"}, params)
