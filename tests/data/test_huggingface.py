"""The real client of the Hugging Face hub, before a hub on this machine."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.copied import contents
from tests.drawn import draw
from tests.fake_hub import commit_of, hub
from tests.local_server import Answer, serving
from tests.presets import REPO, write_preset
from vit.data.sources.hub_errors import require_library
from vit.errors import UserError
from vit.files import read_json

pytestmark = pytest.mark.long

datasets = pytest.importorskip("datasets", reason="needs requirements-hub.txt")

GATED = Answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
NOWHERE = "http://127.0.0.1:9"  # nothing listens there
SECRETS = ("plantedpassword", "hf_plantedtoken")
COLUMNS = {
    "image": datasets.Image(),
    "label": datasets.ClassLabel(names=["caf\u00e9", "tea/pot"]),
    "camera": datasets.Value("string"),
}


def image_of(folder: Path, name: str, seed: int) -> dict:
    return {"bytes": draw(folder / name, seed=seed).read_bytes(), "path": name}


def parquet(folder: Path, rows: list[dict], file: str, columns: dict | None = None) -> None:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    features = datasets.Features(columns or COLUMNS)
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / f"data/{file}-00000-of-00001.parquet")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Data sets as people publish them: Parquet of images, folders of images, hidden labels, other splits."""
    root, drawn = tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("drawn")
    datasets.disable_progress_bars()
    for split, seed in (("train", 0), ("test", 50)):
        rows = [
            {
                "image": image_of(drawn, f"{n}.{'jpg' if n == 3 else 'png'}", seed + n),
                "label": n % 2,
                "camera": f"c{n // 2}",
            }
            for n in range(4)
        ]
        parquet(root / "me/cups", rows, split)
    (root / "me/cups/README.md").write_text("---\nlicense: mit\npretty_name: Cups\n---\nCups.\n")
    for split, count in (("train", 3), ("validation", 2), ("test", 2)):
        for label in ("cat", "dog"):
            for number in range(count):
                draw(root / f"me/folders/{split}/{label}/{number}.png", seed=number)
    several = COLUMNS | {"breed": datasets.ClassLabel(names=["x", "y"])}
    rows = [{"image": image_of(drawn, f"{n}.png", n), "label": n % 2, "camera": "", "breed": 0} for n in range(4)]
    parquet(root / "me/several", rows, "train", several)
    for split, label in (("train", 0), ("validation", 1), ("test", -1)):
        rows = [{"image": image_of(drawn, f"{n}.png", n), "label": label if n else 1, "camera": ""} for n in range(3)]
        parquet(root / "me/hidden", rows, split)
    (root / "me/gated").symlink_to(root / "me/cups")
    (root / "me/broken").symlink_to(root / "me/cups")
    return root


@pytest.fixture(scope="module")
def address(root):
    with serving(hub(root, {"me/gated": GATED, "me/broken": Answer(500)})) as address:
        yield address


# A data set, further parameters, and, if it is refused, the message; `HEAD` stands for the current commit.
FETCHED = {
    "cups": ("me/cups", {}),
    "pooled": ("me/cups", {"hub_splits": {"train": "pool", "test": "pool"}}),
    "other label": ("me/cups", {"label_column": "camera"}),
    "folders": ("me/folders", {}),
    "left out": ("me/hidden", {"hub_splits": {"train": "train", "validation": "test"}}),
}
REFUSED = {
    "branch": (
        "me/cups",
        {"hub_revision": "main"},
        "data.hub_revision 'main' may move; set data.hub_revision=HEAD, the",
    ),
    "no revision": ("me/cups", {"hub_revision": None}, "data.hub_revision is not set; set data.hub_revision=HEAD"),
    "other commit": ("me/cups", {"hub_revision": "1" * 40}, f"'me/cups' has no revision '{'1' * 40}'"),
    "missing": ("me/nobody", {}, "the hub has no data set 'me/nobody', or it is private; check data.hub_name"),
    "gated": ("me/gated", {}, "'me/gated' is gated: accept its terms at huggingface.co/datasets/me/gated, and log in"),
    "broken": (
        "me/broken",
        {},
        "the hub responded with 500 for 'me/broken'; run again later, or download the data set by hand",
    ),
    "config": ("me/cups", {"hub_config": "tiny"}, "data.hub_config tiny of 'me/cups': BuilderConfig 'tiny' not found"),
    "two labels": ("me/several", {}, "the labels of 'me/several' could be in ['label', 'breed']; it has image (Image)"),
    "no column": (
        "me/cups",
        {"file_column": "img"},
        "data.file_column 'img': 'me/cups' has no such column; it has image",
    ),
    "no label": ("me/cups", {"label_column": "image"}, "data.label_column 'image' of 'me/cups' cannot hold the labels"),
    "no split": (
        "me/cups",
        {"hub_splits": {"all": "pool"}},
        "data.hub_splits names 'all', which is not one of the splits",
    ),
    "hidden": (
        "me/hidden",
        {},
        "split 'test': 2 of 3 rows have no label in 'label', the first is row 1; leave the split",
    ),
}
FETCH = """
import json, sys
from pathlib import Path
from vit.config.schema import DataParams
from vit.data.sources.fetch import fetch
from vit.errors import UserError

for name, params in json.load(sys.stdin).items():
    raw, tables = Path(name, "raw"), Path(name, "tables")
    tables.mkdir(parents=True)
    try:
        known = fetch(DataParams(source="huggingface", **params), raw, tables)
    except UserError as error:
        known = {"error": str(error)}
    Path(name, "known.json").write_text(json.dumps(known))
"""


def environment(home: Path, address: str) -> dict[str, str]:
    """Nobody's token, cache and settings but what is planted."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "DVC_"))}
    return inherited | {
        "PYTHONPATH": str(REPO),
        "HF_HOME": str(home),
        "HF_ENDPOINT": address.replace("//", f"//user:{SECRETS[0]}@"),
        "HF_TOKEN": SECRETS[1],
        "HF_HUB_DISABLE_XET": "1",
    }


def fetch(folder: Path, home: Path, address: str, cases: dict[str, dict]) -> str:
    """Fetch each case to a folder of its name, with raw, tables and known.json; all in one process, as the libraries
    start slowly. Returns what was said."""
    done = subprocess.run(
        [sys.executable, "-c", FETCH], cwd=folder, env=environment(home, address),
        input=json.dumps(cases), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout + done.stderr)
    return done.stderr


@pytest.fixture(scope="module")
def fetched(root, address, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fetched")
    cases = {}
    for name, (data_set, params, *_) in (FETCHED | REFUSED).items():
        cases[name] = {"hub_name": data_set, "hub_revision": commit_of(root / data_set)} | params
    fetch(folder, folder / "home", address, cases)
    return folder


def files(folder: Path) -> set[str]:
    return set(contents(folder / "raw"))


def test_train_and_test_become_splits_and_the_bytes_stay_as_they_are(root, fetched):
    ours = contents(fetched / "cups/raw")
    rows = list(csv.DictReader((fetched / "cups/tables/hub.csv").open(encoding="utf-8")))
    assert (
        set(ours)
        == {row["path"] for row in rows}
        == {
            f"{label}/{split}/{file}"
            for split in ("train", "test")
            for label, file in (("café", "0.png"), ("tea_pot", "1.png"), ("café", "2.png"), ("tea_pot", "3.jpg"))
        }
    )
    for split in ("train", "test"):
        published = datasets.Dataset.from_parquet(str(root / f"me/cups/data/{split}-00000-of-00001.parquet"))
        for row in published.cast_column("image", datasets.Image(decode=False)):
            label = ["café", "tea_pot"][row["label"]]
            assert ours[f"{label}/{split}/{row['image']['path']}"] == row["image"]["bytes"]
    assert {row["path"]: row["camera"] for row in rows}["tea_pot/test/3.jpg"] == "c1"


def test_commit_licence_and_use_of_the_splits_are_recorded(root, fetched):
    known = read_json(fetched / "cups/known.json")
    commit = commit_of(root / "me/cups")
    assert (known["version"], known["licence"], known["title"], known["owner"]) == (commit, "mit", "Cups", "me")
    assert known["hub_splits"] == {"train": "train", "test": "test"}
    assert known["citation"] == f"me/cups. Hugging Face, revision {commit}. https://huggingface.co/datasets/me/cups"


def test_folders_of_images_and_validation(fetched):
    counts = {"train": 3, "val": 2, "test": 2}
    assert files(fetched / "folders") == {
        f"{label}/{split}/{number}.png"
        for label in ("cat", "dog")
        for split, n in counts.items()
        for number in range(n)
    }


def test_splits_can_be_pooled_or_used_as_others_and_another_column_be_the_label(fetched):
    assert {"café/train_0.png", "café/test_0.png"} < files(fetched / "pooled") and len(files(fetched / "pooled")) == 8
    assert {name.split("/")[1] for name in files(fetched / "left out")} == {"train", "test"}
    assert {name.split("/")[0] for name in files(fetched / "other label")} == {"c0", "c1"}
    assert "label" in (fetched / "other label/tables/hub.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fetched_is_refused_with_the_way_out_and_no_image_is_written(root, fetched, name):
    data_set, _, message = REFUSED[name]
    said = read_json(fetched / name / "known.json")["error"]
    assert message.replace("HEAD", commit_of(root / data_set)) in said
    assert not (fetched / name / "raw").exists()


def assert_no_secrets(folder: Path):
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in content], path


def test_no_secret_is_in_anything_that_was_said_or_written(fetched):
    assert_no_secrets(fetched)


def test_without_the_hub_only_what_the_cache_holds_of_this_very_commit_is_taken(root, fetched, tmp_path):
    cases = {"other": ("me/cups", "1" * 40), "never": ("me/nobody", "2" * 40)}
    params = {name: {"hub_name": data_set, "hub_revision": commit} for name, (data_set, commit) in cases.items()}
    fetch(tmp_path, fetched / "home", NOWHERE, params)
    other, never = (read_json(tmp_path / name / "known.json")["error"] for name in cases)
    assert f"the hub cannot be reached for 'me/cups', and the cache holds another commit than {'1' * 40}" in other
    assert "the hub cannot be reached for 'me/nobody'" in never and "set data.source=folder" in never
    assert not (tmp_path / "other/raw").exists() and not (tmp_path / "never/raw").exists()
    assert_no_secrets(tmp_path)


def test_the_stage_takes_a_pinned_commit_from_the_cache_and_says_what_it_lacks(root, fetched, tmp_path):
    commit = commit_of(root / "me/cups")
    hub = {"data.source": "huggingface", "data.hub_name": "me/cups", "data.hub_revision": commit}
    write_preset(tmp_path / "params.yaml", "shapes", hub)
    done = subprocess.run(
        [sys.executable, "-m", "stages.download"], cwd=tmp_path, env=environment(fetched / "home", NOWHERE),
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"8 images in 2 classes from huggingface ({commit}), 4 train, 4 test" in done.stdout
    assert "licence and owner are not recorded: the hub cannot be reached" in done.stderr
    assert contents(tmp_path / "data/raw") == contents(fetched / "cups/raw")
    assert_no_secrets(tmp_path)


def test_without_the_library_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # as an import that fails leaves it
    with pytest.raises(
        UserError, match=r"pip install --requirement requirements-hub\.txt --constraint constraints\.txt"
    ):
        require_library("datasets", "data.source huggingface")
