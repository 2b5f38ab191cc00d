"""A sweep in a clone, and the parameters that tests select in it afterwards."""

import time
from pathlib import Path

from tests.conftest import Project, clone, documented

PARAMS = "git checkout -q params.yaml"
PARAMS_OF_THE_SWEEP = (
    "vit preset shapes --force && sed -i 's/^  lr: 0.002/  lr: 0.001/; s/^  threads: auto/  threads: 1/' params.yaml"
)
PARAMS_OF_OTHER_IMAGES = "vit preset shapes --force && sed -i '0,/seed: 0/s//seed: 1/' params.yaml"


def sweep(folder: Path) -> Project:
    """A clone that knew nothing before its sweep, on the quick preset."""
    project = clone(folder)
    project.run(documented("vit preset --list"))
    project.run(f"{documented('vit preset shapes')} && git commit -qam shapes")
    project.run(documented("dvc exp run --queue -S 'train.lr"))
    work_through_the_queue(project)
    return project


def work_through_the_queue(project: Project) -> None:
    project.run(documented("dvc queue start"))
    for _ in range(240):
        status = project.run(documented("dvc queue status")).stdout
        if "Queued" not in status and "Running" not in status:
            break
        time.sleep(0.5)
    assert "Failed" not in status, project.run("cat .dvc/tmp/exps/*/*/*.out || true").stdout
