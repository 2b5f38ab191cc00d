"""What a student learns from its teacher: losses by hand, and trainings."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.shapes import Training, shapes, untrained
from tests.training.common import HARD, RICH, params_for, same
from vit.config.schema import TrainParams
from vit.data.batches import Packed, normalize, to_unit
from vit.evaluation.explain import explanation_png
from vit.inference.classifier import Classifier
from vit.inference.export import check_parity, to_torch
from vit.training.checkpoint import Progress
from vit.training.distillation import combined_logits, training_loss

pytestmark = pytest.mark.long

SOFT = HARD | {"train.distillation": "soft", "train.distillation_alpha": 0.1, "train.distillation_temperature": 2.0}
CALM = {"model.drop_rate": 0.0, "model.drop_path_rate": 0.0}
BY_HEART = CALM | {
    "train.augment.degrees": 0.0,
    "train.augment.erasing": 0.0,
    "train.label_smoothing": 0.0,
    "train.epochs": 40,
    "train.lr": 0.005,
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> tuple[Packed, Packed]:
    folder = tmp_path_factory.mktemp("shapes")
    return shapes(folder, 10, seed=0), shapes(folder, 4, seed=1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, parts) -> Path:
    """The folder of a model that knows the train shapes by heart, wider than its students."""
    folder = tmp_path_factory.mktemp("teacher")
    params = params_for(folder, **BY_HEART | {"model.embed_dim": 32, "model.pool": "avg"})
    training = Training(params, (parts[0], parts[0]), folder / "a").run()
    assert training.progress.best["val_accuracy"] > 0.95
    training.classifier.save(folder / "model", training.progress.best_weights)
    return folder / "model"


def train_params(tmp_path, **changes) -> TrainParams:
    return params_for(tmp_path, **{"train.label_smoothing": 0.0} | changes).train


LN2, LN3 = float(np.log(2)), float(np.log(3))
# By the labels' head (1/4, 3/4), by the teacher's (1/2, 1/2); of two images with these same logits.
LOGITS = torch.tensor([[[0.0, LN3]] * 2, [[0.0, 0.0]] * 2])
LABELS = torch.tensor([1, 0])  # cross-entropies ln(4/3) and ln 4


def test_hard_distillation_is_the_weighted_sum_of_two_cross_entropies(tmp_path):
    train = train_params(tmp_path, **HARD | {"train.distillation_alpha": 0.25})
    taught = torch.tensor([[5.0, 1.0], [2.0, 3.0]])  # what it says counts, not how surely
    expected = 0.75 * (np.log(4 / 3) + np.log(4)) + 0.25 * 2 * LN2
    assert training_loss(LOGITS, LABELS, taught, train).item() == pytest.approx(expected, rel=1e-6)


def test_the_teachers_answer_is_not_smoothed_and_the_labels_are(tmp_path):
    train = train_params(tmp_path, **HARD | {"train.label_smoothing": 0.2})
    one, taught = LOGITS[:1, :1].expand(2, 1, 2), torch.tensor([[0.0, 1.0]])
    # Smoothed by 0.2 the label is (0.1, 0.9): 0.1 ln 4 + 0.9 ln(4/3); the teacher's is (0, 1): ln(4/3).
    expected = 0.5 * (0.1 * np.log(4) + 0.9 * np.log(4 / 3)) + 0.5 * np.log(4 / 3)
    assert training_loss(one, LABELS[:1], taught, train).item() == pytest.approx(expected, rel=1e-6)


def test_soft_distillation_adds_the_divergence_from_the_teacher_at_its_temperature(tmp_path):
    train = train_params(tmp_path, **SOFT)
    taught = torch.tensor([[0.0, 2 * LN3], [0.0, 0.0]])
    # At temperature 2 the teacher says (1/4, 3/4), the student (1/2, 1/2): KL = 1/4 ln(1/2) + 3/4 ln(3/2); then 0.
    divergence = 0.25 * np.log(1 / 2) + 0.75 * np.log(3 / 2)
    expected = 0.9 * (np.log(4 / 3) + np.log(4)) + 0.1 * 4 * divergence
    assert training_loss(LOGITS, LABELS, taught, train).item() == pytest.approx(expected, rel=1e-6)


def test_labels_may_be_shares_of_mixed_images(tmp_path):
    train = train_params(tmp_path, **HARD)
    shares, taught = torch.tensor([[0.5, 0.5], [0.25, 0.75]]), torch.tensor([[5.0, 1.0], [2.0, 3.0]])
    of_labels = 0.5 * np.log(4) + 0.5 * np.log(4 / 3) + 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
    found = training_loss(LOGITS, shares, taught, train).item()
    assert found == pytest.approx(0.5 * of_labels + 0.5 * 2 * LN2, rel=1e-6)


@pytest.mark.parametrize("kind", [HARD, SOFT], ids=["hard", "soft"])
def test_of_one_head_both_terms_fall_on_the_same_logits(tmp_path, kind):
    train = train_params(tmp_path, **kind)
    logits, taught = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 0])
    one = training_loss(logits, labels, taught, train)
    assert one == training_loss(torch.stack([logits, logits]), labels, taught, train)
    assert torch.equal(combined_logits(logits), logits)


def test_without_a_teacher_the_loss_is_plain_cross_entropy_to_the_last_bit(tmp_path):
    train = train_params(tmp_path, **{"train.label_smoothing": 0.1})
    logits, labels = torch.randn(64, 4), torch.arange(64) % 4
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum")
    assert torch.equal(training_loss(logits, labels, None, train), expected)


@pytest.mark.parametrize("pool", ["cls", "avg"])
@pytest.mark.parametrize("kind", [HARD, SOFT], ids=["hard", "soft"])
def test_labels_move_their_head_the_teacher_its_own_and_both_the_tokens(tmp_path, parts, pool, kind):
    params = params_for(tmp_path, **CALM | kind | {"model.pool": pool})
    model = untrained(params, parts[0]).model.train()
    x, labels = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])

    def gradients(labels, taught) -> dict[str, torch.Tensor]:
        model.zero_grad()
        training_loss(model(x), labels, taught, params.train).backward()
        return {name: value.grad.clone() for name, value in model.named_parameters()}

    first = gradients(labels, torch.eye(4))
    others = {"labels": gradients(labels.flip(0), torch.eye(4)), "teacher": gradients(labels, torch.eye(4).flip(0))}
    assert torch.equal(first["head.weight"], others["teacher"]["head.weight"])
    assert torch.equal(first["head_dist.weight"], others["labels"]["head_dist.weight"])
    tokens = ["dist_token", *(["cls_token"] if pool == "cls" else [])]
    for other in others.values():
        for name in [*tokens, "patch_embed.proj.weight"]:
            assert first[name].any() and not torch.equal(first[name], other[name]), name


def test_each_head_learns_its_own_by_heart(tmp_path, parts, teacher):
    # Labels that are all wrong, so that one head must contradict the other.
    part = Packed(parts[0].images, (parts[0].labels + 1) % 4)
    training = Training(params_for(tmp_path, **BY_HEART | HARD), (part, part), tmp_path / "a", teacher=teacher).run()
    x = normalize(to_unit(part.images), training.classifier.mean, training.classifier.std)
    with torch.no_grad():
        by_label, by_teacher = training.classifier.model.train()(x)
    assert torch.equal(by_label.argmax(dim=1), part.labels)
    assert torch.equal(by_teacher.argmax(dim=1), Classifier.load(teacher).logits(part.images).argmax(dim=1))


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", [HARD, SOFT], ids=["hard", "soft"])
def test_a_killed_distillation_continues_to_the_very_same_end(tmp_path, parts, teacher, kind):
    params = params_for(tmp_path, **RICH | kind | {"model.pool": "avg"})
    whole = Training(params, parts, tmp_path / "whole", teacher=teacher).run().progress

    def die_after_two_epochs(progress: Progress) -> None:
        if len(progress.history) == 2:
            raise Killed

    with pytest.raises(Killed):
        Training(params, parts, tmp_path / "killed", teacher=teacher).run(die_after_two_epochs)
    continued = Training(params, parts, tmp_path / "killed", teacher=teacher).run().progress
    assert continued.history == whole.history
    assert same(continued.best_weights, whole.best_weights)
    assert whole.history[-1]["train_loss"] < whole.history[0]["train_loss"]


def test_a_batch_in_pieces_is_taught_as_the_whole_batch(tmp_path, parts, teacher):
    # 40 images in batches of 16: the last has 8, so that of 16 pieces half are empty.
    histories = []
    for pieces in (1, 3, 16):
        params = params_for(tmp_path, **CALM | SOFT | {"train.grad_accum_steps": pieces, "train.epochs": 2})
        histories.append(Training(params, parts, tmp_path / str(pieces), teacher=teacher).run().progress.history)
    for other in histories[1:]:
        for one, same_epoch in zip(histories[0], other, strict=True):
            assert one == pytest.approx(same_epoch, rel=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_teacher_answers_in_the_precision_of_the_training(tmp_path, parts, teacher, precision):
    params = params_for(tmp_path, **SOFT | {"train.precision": precision, "train.epochs": 1})
    training = Training(params, parts, tmp_path / "a", teacher=teacher)
    seen = []
    training.step.teacher.model.register_forward_hook(lambda model, inputs, output: seen.append(output.dtype))
    training.run()
    assert set(seen) == {getattr(torch, precision)}


def test_a_distilled_model_is_saved_loaded_exported_and_explained_as_any_other(tmp_path, parts):
    classifier = untrained(params_for(tmp_path, **CALM | HARD), parts[0])
    with torch.no_grad():
        classifier.model.head_dist.weight.normal_()
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    loaded = Classifier.load(tmp_path / "model")
    images = parts[0].images
    assert np.array_equal(loaded.probabilities(images), classifier.probabilities(images))
    x = normalize(to_unit(images), loaded.mean, loaded.std)
    with torch.no_grad():
        by_label, by_teacher = loaded.model.train()(x)
    torch.testing.assert_close(loaded.logits(images), (by_label + by_teacher) / 2)
    assert (by_label - by_teacher).abs().max() > 0.1
    _, run = to_torch(loaded)
    assert check_parity(loaded, run) < 1e-5
    assert explanation_png(loaded, images[0].numpy(), 1).startswith(b"\x89PNG")


def test_settings_without_a_teacher_are_those_of_before(tmp_path, parts):
    plain = untrained(params_for(tmp_path), parts[0])
    assert "distilled" not in plain.config["model"] and not plain.model.distilled
    assert not any("dist" in name for name in plain.model.state_dict())
