"""The download stage under DVC itself, in a clone of the repo."""

from pathlib import Path

import pytest

from tests.conftest import Project, clone, documented
from tests.drawn import draw, draw_classes
from tests.presets import write_preset
from vit.data.feedback import keep_image, withdraw
from vit.files import read_json

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def cloned(tmp_path_factory) -> Project:
    return clone(tmp_path_factory.mktemp("work") / "project")


def test_a_changed_folder_is_noticed_by_the_next_repro(cloned, tmp_path):
    pets = draw_classes(tmp_path / "my pets", {"cat": 2, "dog": 2})
    (pets / "videos.csv").write_text("filename,video\n")
    write_preset(cloned.folder / "params.yaml", "shapes", {"data.source": "folder", "data.path": str(pets)})
    output = cloned.run("dvc repro download").stdout
    assert "4 images in 2 classes" in output and "\nclasses: 'cat' 2, 'dog' 2\n" in output
    assert cloned.read("data/tables/videos.csv") == "filename,video\n"
    draw(pets / "cat" / "new.png", seed=9)
    assert "5 images in 2 classes" in cloned.run("dvc repro download").stdout
    assert "didn't change, skipping" in cloned.run("dvc repro download").stdout
    assert read_json(cloned.folder / "data" / "raw.json")["tables"] == ["videos.csv"]


CORRECTED = {"data.shapes_per_class": 10, "data.corrections": "feedback/labels.csv"}


@pytest.fixture
def corrected(cloned) -> str:
    """The digest of an image in feedback/images that is to be added to train."""
    write_preset(cloned.folder / "params.yaml", "shapes", CORRECTED)
    drawn = draw(cloned.folder / "new.png", seed=9, height=16, width=16)
    path = keep_image(drawn.read_bytes(), drawn.name, "vertical_bars", "me", cloned.folder)
    drawn.unlink()
    return Path(path).stem


def test_a_changed_correction_is_noticed_by_the_next_repro(cloned, corrected):
    assert "corrections: 0 kept, 0 relabelled, 0 removed, 1 added" in cloned.run("dvc repro split").stdout
    assert f"vertical_bars/train/feedback_{corrected}.png,vertical_bars," in cloned.read("data/splits/train.csv")
    withdraw([corrected], cloned.folder)
    assert "corrections: 0 kept, 0 relabelled, 0 removed, 0 added" in cloned.run("dvc repro download").stdout


@pytest.mark.slow
def test_a_temp_run_has_the_corrections_that_git_and_dvc_track(cloned, corrected):
    refused = cloned.run("dvc exp run --temp download", succeeds=False).stderr
    assert "run `git add feedback/labels.csv`" in refused
    cloned.run("git add feedback/labels.csv")
    refused = cloned.run("dvc exp run --temp download", succeeds=False).stderr
    assert "run `dvc add feedback/images` and `git add feedback/images.dvc`" in refused
    cloned.run(f"{documented('dvc add feedback')} && {documented('git add feedback')}")
    # DVC cannot save the experiment afterwards, because the clone's cache lacks the outputs of later stages.
    assert "1 added" in cloned.run("dvc exp run --temp download", succeeds=False).stdout


def test_a_temp_run_refuses_a_relative_path_and_names_the_absolute_one(cloned):
    draw_classes(cloned.folder / "images", {"cat": 2, "dog": 2})
    write_preset(cloned.folder / "params.yaml", "shapes", {"data.source": "folder"})
    refused = cloned.run("dvc exp run --temp download", succeeds=False).stderr
    assert "error: data.path 'images' is relative, which queued and --temp runs cannot use; " in refused
    assert f"set data.path={cloned.folder}/images" in refused
