"""Weights of a registered version, from a real MLflow database: a version is taken, whatever may move is refused."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.weights import fetch_weights
from tests.registry.conftest import within
from vit.errors import UserError
from vit.files import read_json, read_table, sha256_of, write_table

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def folder(repo_with_three) -> Iterator[Path]:
    """A repo with three versions, only read here."""
    with within(repo_with_three):
        yield repo_with_three


def test_a_version_is_brought_with_its_settings(folder, tmp_path):
    record = fetch_weights("models:/vit/2", tmp_path, "train.init_from", folder / "content2/images.csv")
    model = folder / "content2/model"
    digest = sha256_of(model / "model.safetensors")
    assert record == {"source": "models:/vit/2", "sha256": digest, "images_seen": "none of val or test"}
    assert read_json(tmp_path / "config.json") == read_json(model / "config.json")


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_an_alias_is_refused_naming_the_version_to_write(tmp_path, alias):
    with pytest.raises(UserError, match=f"train.teacher 'models:/vit@{alias}' .*; write models:/vit/3, to which it"):
        fetch_weights(f"models:/vit@{alias}", tmp_path, "train.teacher", Path("absent.csv"))
    assert list(tmp_path.glob("*.safetensors")) == []


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("models:/vit/9", "no model 'models:/vit/9' in the registry"),
        ("models:/other/1", "no model 'models:/other/1' in the registry"),
        ("models:/vit@nobody", r"'nobody' is neither a number nor an alias of 'vit' \(challenger, champion\)"),
        ("models:/vit/latest", "'latest' is neither a number nor an alias of 'vit'"),
        ("models:/other@champion", "Registered Model with name=other not found"),
    ],
)
def test_what_the_registry_does_not_hold_is_refused_in_one_line(tmp_path, named, message):
    with pytest.raises(UserError, match=message) as caught:
        fetch_weights(named, tmp_path, "train.init_from", Path("absent.csv"))
    assert "\n" not in str(caught.value)


def test_a_version_that_was_trained_on_what_is_val_or_test_now_is_refused_with_the_numbers(folder, tmp_path):
    # Versions were published with images 0 to 99 in val and 100 to 159 in train.
    rows = read_table(folder / "content2/images.csv")
    for row in rows:
        row["part"] = "train" if row["part"] == "val" else "val"
    for row in rows[-20:]:
        row["part"] = "test"
        row["file_sha256"] = "saved anew"
    counts = Counter(row["part"] for row in rows)
    write_table(tmp_path / "images.csv", rows)
    with pytest.raises(UserError, match=r"train\.init_from 'models:/vit/2' was trained on") as caught:
        fetch_weights("models:/vit/2", tmp_path, "train.init_from", tmp_path / "images.csv")
    assert counts["test"] == 20 and f"{counts['val']} images that are val and " in str(caught.value)
