"""The stage pretrain where it is off, and what it says of how far it is."""

import sys

import pytest

from stages.pretrain import new_progress_file
from tests.conftest import clone
from tests.presets import preset, write_preset
from vit.files import write_json
from vit.tracking.progress import seen
from vit.training.checkpoint import Progress


def test_off_the_stage_leaves_a_note_only_and_imports_no_torch(tmp_path):
    project = clone(tmp_path / "project")
    write_preset(project.folder / "params.yaml", "shapes")
    program = "import sys; from stages.pretrain import main; main(); print('torch' in sys.modules)"
    done = project.run(f'{sys.executable} -c "{program}"')
    assert done.stdout.splitlines() == ["none: pretrain.epochs is 0", "False"]
    assert [path.name for path in (project.folder / "data/pretrained").iterdir()] == ["README.txt"]


@pytest.mark.parametrize(("experiment", "name"), [("", "shapes-kkkkkkk"), ("bold-cat", "bold-cat")])
def test_those_who_watch_see_a_pretraining_by_the_name_of_its_experiment(tmp_path, monkeypatch, experiment, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_EXP_NAME", experiment)
    write_json(tmp_path / "data/raw.json", {"source": "shapes"})
    settings = {"pretrain.epochs": 4, "pretrain.batch_size": 8, "pretrain.lr": 0.5, "pretrain.warmup_epochs": 2}
    with new_progress_file(tmp_path / "key", preset(tmp_path, "shapes", settings), 40 * "k", 30) as file:
        file.start(Progress(steps=4, history=[{"epoch": 1}]))
        told = seen(tmp_path / "key")
    assert (told.name, told.state, told.is_pretraining, told.share) == (name, "running", True, 0.25)
    assert told.how_far["epochs"] == 1 and told.how_far["learning_rate"] == pytest.approx(0.5 * 5 / 8)
