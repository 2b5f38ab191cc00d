"""The stage pretrain where it is off."""

import sys

from tests.conftest import clone
from tests.presets import write_preset


def test_off_the_stage_leaves_a_note_only_and_imports_no_torch(tmp_path):
    project = clone(tmp_path / "project")
    write_preset(project.folder / "params.yaml", "shapes")
    program = "import sys; from stages.pretrain import main; main(); print('torch' in sys.modules)"
    done = project.run(f'{sys.executable} -c "{program}"')
    assert done.stdout.splitlines() == ["none: pretrain.epochs is 0", "False"]
    assert [path.name for path in (project.folder / "data/pretrained").iterdir()] == ["README.txt"]
