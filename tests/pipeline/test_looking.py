"""What `evaluate` and the command lines show of the champion."""

import csv
from io import StringIO

import pytest
import torch
from PIL import Image

from tests.conftest import documented
from tests.store import look


@pytest.fixture
def written(project):
    """A path in the clone for what a command writes, removed afterwards, as other tests look at the work tree."""
    paths = []

    def at(name: str):
        paths.append(project.folder / name)
        return paths[-1]

    yield at
    for path in paths:
        path.unlink()


def test_the_figures_of_evaluate_are_artifacts_of_the_run(project):
    names = {path.name for path in (project.folder / "evaluation/explain").iterdir()}
    figures = {"examples.png", "heads.png", "attention_distance.png", "position_similarity.png", "patch_filters.png"}
    assert names == figures | {"attention_distance.csv"}
    held = look(project)
    shown = held.client.list_artifacts(held.runs[0].info.run_id, "evaluation/explain")
    assert {entry.path.rpartition("/")[2] for entry in shown} == names
    assert Image.open(project.folder / "evaluation/explain/examples.png").width > 900  # eight digits in a row


def test_the_table_of_the_readme_labels_a_folder_and_a_pattern(project):
    rows = list(csv.DictReader(StringIO(project.run(documented("vit predict data/raw/3 ")).stdout)))
    assert len(rows) == 3 * sum(len(list((project.folder / "data/raw" / digit).iterdir())) for digit in "358")
    best = [row for row in rows if row["rank"] == "1"]
    assert sum(row["image"].split("/")[2] == row["label"] for row in best) > 0.95 * len(best)


def test_the_map_of_the_readme_is_drawn(project, written):
    path = written("seen.png")
    assert ": 5 (" in project.run(documented("vit predict data/raw/5/")).stdout
    assert Image.open(path).size == (224, 224)


def test_the_export_of_the_readme_is_a_program_that_answers(project, written):
    path = written("vit.pt2")
    assert (
        "uint8 (batch, 8, 8, 1) to probabilities of 10 classes"
        in project.run(documented("vit export --format torch")).stdout
    )
    answers = torch.export.load(path).module()(torch.zeros((3, 8, 8, 1), dtype=torch.uint8))
    torch.testing.assert_close(answers.sum(dim=1), torch.ones(3))
