"""A teacher is asked about the student's very pixels, and refused where it does not answer the same question."""

from pathlib import Path

import pytest
import torch

from tests.shapes import CLASSES, shapes, untrained
from tests.training.common import HARD, params_for
from vit.data.batches import Packed, normalize, to_unit
from vit.errors import UserError
from vit.files import read_json, write_json
from vit.inference.classifier import CONFIG, Classifier
from vit.training.distillation import Teacher


@pytest.fixture(scope="module")
def part(tmp_path_factory) -> Packed:
    return shapes(tmp_path_factory.mktemp("shapes"), 10)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, part) -> Path:
    """The folder of a model with random weights, wider than its students."""
    folder = tmp_path_factory.mktemp("teacher")
    classifier = untrained(params_for(folder, **{"model.embed_dim": 32, "model.pool": "avg"}), part)
    classifier.save(folder / "model", classifier.model.state_dict())
    return folder / "model"


def changed(teacher: Path, folder: Path, **config) -> Path:
    """A copy of the teacher with other settings."""
    classifier = Classifier.load(teacher)
    classifier.save(folder / "changed", classifier.model.state_dict())
    write_json(folder / "changed" / CONFIG, classifier.config | config)
    return folder / "changed"


def test_the_teacher_sees_the_students_pixels_in_its_own_normalization_and_answers_in_the_students_order(
    tmp_path, part, teacher
):
    order = [2, 0, 3, 1]
    student = untrained(params_for(tmp_path, **HARD), part)
    config = {"mean": [0.2], "std": [0.7], "classes": [CLASSES[place] for place in order]}
    folder = changed(teacher, tmp_path, **config)
    alone = Classifier.load(folder)
    alone.model.train()
    asked = Teacher.load(folder, student)
    answers = asked(normalize(to_unit(part.images), student.mean, student.std))
    expected = alone.logits(part.images)
    for ours, name in enumerate(CLASSES):
        theirs = config["classes"].index(name)
        torch.testing.assert_close(answers[:, ours], expected[:, theirs], atol=1e-4, rtol=1e-4)
    assert not answers.requires_grad and not asked.model.training
    assert not any(parameter.requires_grad for parameter in asked.model.parameters())


def test_a_teacher_of_the_same_normalization_sees_the_very_same_numbers(tmp_path, part, teacher):
    student = untrained(params_for(tmp_path, **HARD), part)
    asked = Teacher.load(teacher, student)
    seen = []
    asked.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0]))
    x = normalize(to_unit(part.images), student.mean, student.std)
    asked(x)
    assert torch.equal(seen[0], x)


@pytest.mark.parametrize(
    ("config", "fragments"),
    [
        ({"image_size": [16, 8]}, ["image_size is [16, 8]", "pack.image_size is [8, 8]", "set pack.image_size to"]),
        (
            {"classes": [*CLASSES[:3], "dots"]},
            ["has 'dots'", "lacks 'vertical_bars'", "a teacher with these 4 classes"],
        ),
    ],
    ids=["other size", "other classes"],
)
def test_a_teacher_of_another_question_is_refused_by_both_values(tmp_path, part, teacher, config, fragments):
    student = untrained(params_for(tmp_path, **HARD), part)
    classifier = Classifier.load(teacher)
    theirs = Classifier.new(classifier.config | config, torch.device("cpu"))
    theirs.save(tmp_path / "other", theirs.model.state_dict())
    with pytest.raises(UserError) as caught:
        Teacher.load(tmp_path / "other", student)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_teacher_of_other_channels_is_refused_by_both_values(tmp_path, part, teacher):
    student = untrained(params_for(tmp_path, **HARD), part)
    theirs = Classifier.new(read_json(teacher / CONFIG) | {"channels": 3}, torch.device("cpu"))
    theirs.save(tmp_path / "rgb", theirs.model.state_dict())
    with pytest.raises(UserError, match=r"teacher's channels is 3, but pack\.channels is 1"):
        Teacher.load(tmp_path / "rgb", student)


def test_a_teacher_of_many_other_classes_is_refused_by_a_few_of_them(tmp_path, part, teacher):
    student = untrained(params_for(tmp_path, **HARD), part)
    theirs = Classifier.new(read_json(teacher / CONFIG) | {"classes": list("abcdefgh")}, torch.device("cpu"))
    theirs.save(tmp_path / "many", theirs.model.state_dict())
    with pytest.raises(UserError, match=r"has 'a', 'b', 'c', 'd', 'e' and 3 more, which the data lacks, and lacks '"):
        Teacher.load(tmp_path / "many", student)


def test_weights_without_settings_are_no_teacher(tmp_path, part, teacher):
    (changed(teacher, tmp_path) / CONFIG).unlink()
    with pytest.raises(UserError, match=r"teacher in .* has no config\.json, .* set train\.teacher to a model\.safe"):
        Teacher.load(tmp_path / "changed", untrained(params_for(tmp_path, **HARD), part))


def test_a_teacher_that_was_trained_on_other_images_is_warned_of(tmp_path, part, teacher, caplog):
    params = params_for(tmp_path, **HARD)
    student = untrained(params, part)
    with caplog.at_level("INFO"):
        Teacher.load(teacher, student).introduce(params.train)
        assert "hard distillation from somewhere, 0.03 M parameters" in caplog.text
        assert "other images" not in caplog.text
        Teacher.load(changed(teacher, tmp_path, mean=[0.25]), student).introduce(params.train)
    assert "trained on other images" in caplog.text and "scores are too high" in caplog.text
