"""Each question of `vit check` on an honest subject, and on one with that very thing broken."""

import math

import pytest
import torch
from torch import nn

from tests.checks.subjects import answer_to, broken, subject
from tests.presets import preset
from vit.checks.answer import Verdict
from vit.checks.questions import ask_all
from vit.files import read_table

pytestmark = pytest.mark.long


def test_the_same_subject_gets_the_same_answers(tmp_path):
    answers = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        asked = subject(tmp_path / name)
        answers.append([answer_to(question, asked).evidence for question in ("loss", "rate")])
    assert answers[0] == answers[1]


def test_a_weight_left_on_another_device_is_named_and_nothing_else_is_asked(tmp_path, monkeypatch):
    from vit.inference.classifier import Classifier

    new = Classifier.new.__func__

    def forgetful(cls, config, device):
        classifier = new(cls, config, device)
        classifier.model.head.bias = nn.Parameter(classifier.model.head.bias.to("meta"))
        return classifier

    monkeypatch.setattr(Classifier, "new", classmethod(forgetful))
    device, *others = (answer for _, answer, _ in ask_all(subject(tmp_path)))
    assert device.verdict is Verdict.BAD and "head.bias on meta" in device.evidence
    assert {one.verdict for one in others} == {Verdict.OPEN}


def test_a_wrongly_scaled_head_is_seen_by_the_first_loss(tmp_path, monkeypatch):
    broken(monkeypatch, lambda model: model.head.weight.data.mul_(10))
    answer = answer_to("loss", subject(tmp_path))
    assert answer.verdict is Verdict.BAD and "too large" in answer.way_out


def test_a_first_loss_below_a_guess_is_seen(tmp_path, monkeypatch):
    broken(monkeypatch, lambda model: (model.head.weight.data.zero_(), model.head.bias.data[0].fill_(20)))
    answer = answer_to("loss", subject(tmp_path, relabel=torch.zeros_like))
    assert answer.verdict is Verdict.BAD and "already predict the labels" in answer.evidence


def freeze_first_block(model: nn.Module) -> None:
    model.blocks[0].requires_grad_(False)


class Unused(nn.Module):
    """A block whose output goes nowhere."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def forward(self, x):
        return x + 0 * self.block(x)


def disconnect_first_block(model: nn.Module) -> None:
    model.blocks[0] = Unused(model.blocks[0])


def enlarge_the_stem(model: nn.Module) -> None:
    model.head.weight.data.mul_(1e6)


@pytest.mark.parametrize(
    ("break_it", "evidence"),
    [
        (freeze_first_block, "frozen, but not by train.frozen_layers"),
        (disconnect_first_block, "without a gradient"),
        (enlarge_the_stem, "with a gradient above 1000"),
    ],
)
def test_a_layer_whose_gradient_is_missing_zero_or_huge_is_named(tmp_path, monkeypatch, break_it, evidence):
    broken(monkeypatch, break_it)
    answer = answer_to("gradients", subject(tmp_path))
    assert answer.verdict is Verdict.BAD and evidence in answer.evidence
    assert break_it is enlarge_the_stem or answer.evidence.startswith("blocks.0.")


@pytest.mark.parametrize("frozen", [1, "all"])
def test_layers_that_are_frozen_on_purpose_are_no_fault_and_said(tmp_path, frozen):
    answer = answer_to("gradients", subject(tmp_path, **{"train.frozen_layers": frozen}))
    assert answer.verdict is Verdict.GOOD and "by train.frozen_layers" in answer.evidence


@pytest.mark.parametrize(("factor", "word"), [(1000, "too high"), (1 / 1000, "too low")])
def test_a_rate_out_of_range_is_found_and_the_one_proposed_is_in_range(tmp_path, factor, word):
    asked = subject(tmp_path, **{"train.lr": 0.002 * factor})
    answer = answer_to("rate", asked)
    assert answer.verdict is Verdict.BAD and word in answer.evidence
    proposed = float(answer.way_out.split()[-1])
    asked.params = preset(tmp_path, "shapes", {"train.lr": proposed, "train.device": "cpu", "train.epochs": 30})
    assert answer_to("rate", asked).verdict is Verdict.GOOD


def test_a_model_that_sees_nothing_overfits_nothing_and_what_needs_it_is_left_open(tmp_path, monkeypatch):
    broken(monkeypatch, lambda model: setattr(model, "patch_embed", Blind(model.patch_embed)))
    found = {question.name: answer for question, answer, _ in ask_all(subject(tmp_path))}
    assert found["overfit"].verdict is Verdict.BAD and "train.lr" in found["overfit"].way_out
    for name in ("decay", "augmentations", "labels"):
        assert found[name].verdict is Verdict.OPEN and "overfit is bad" in found[name].evidence


class Blind(nn.Module):
    """Patches without their pixels."""

    def __init__(self, embed: nn.Module):
        super().__init__()
        self.embed = embed

    def forward(self, x):
        return self.embed(torch.zeros_like(x))


def test_weight_decay_that_undoes_the_fit_is_found_by_accuracy_and_norm(tmp_path):
    answer = answer_to("decay", subject(tmp_path, **{"train.weight_decay": 50.0}))
    assert answer.verdict is Verdict.BAD and "train.weight_decay from 50" in answer.way_out


def test_an_augmentation_that_destroys_is_named_with_a_value_that_does_not(tmp_path):
    changes = {"train.augment.translate": 0.02, "train.augment.erasing": 0.1, "train.augment.degrees": 180.0}
    asked = subject(tmp_path, **changes)
    answer = answer_to("augmentations", asked)
    assert answer.verdict is Verdict.BAD and "train.augment.degrees from 180" in answer.way_out
    milder = float(answer.way_out.split()[-1])
    augment = asked.params.train.augment.model_copy(update={"degrees": milder})
    asked.params = asked.params.model_copy(update={"train": asked.train(augment=augment)})
    assert answer_to("augmentations", asked).verdict is Verdict.GOOD


def test_shuffled_labels_are_found_though_the_model_learns_them_by_heart(tmp_path):
    def shuffle(labels):
        return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]

    asked = subject(tmp_path, relabel=shuffle)
    assert answer_to("overfit", asked).verdict is Verdict.GOOD
    answer = answer_to("labels", asked)
    assert answer.verdict is Verdict.BAD and "no better than chance" in answer.evidence


def test_a_few_wrong_labels_are_among_the_first_that_the_model_contradicts(tmp_path):
    wrong = [3, 57, 110, 160]

    def mislabel(labels):
        labels = labels.clone()
        labels[wrong] = (labels[wrong] + 2) % 4
        return labels

    answer_to("labels", subject(tmp_path, relabel=mislabel, **{"model.name": "cnn"}))
    listed = [row["path"] for row in read_table(tmp_path / "check/contradicted.csv")]
    assert len({f"{index}.png" for index in wrong} & set(listed[:20])) >= 3


@pytest.mark.parametrize("changes", [{"model.name": "cnn"}, {"train.frozen_layers": 1, "train.optimizer": "muon"}])
def test_other_families_and_frozen_layers_get_good_answers(tmp_path, changes):
    asked = subject(tmp_path, **changes)
    for name in ("loss", "gradients", "overfit"):
        answer = answer_to(name, asked)
        assert answer.verdict is Verdict.GOOD, (name, answer.evidence)


def test_a_loss_of_a_guess_is_the_logarithm_of_the_classes(tmp_path, monkeypatch):
    broken(monkeypatch, lambda model: model.head.weight.data.zero_())
    assert f"{math.log(4):.2f}, ln(4 classes) = {math.log(4):.2f}" in answer_to("loss", subject(tmp_path)).evidence


def test_questions_that_find_no_time_are_open_and_say_how_much_they_need(tmp_path):
    asked = subject(tmp_path, budget=1e-6)
    for _, answer, _ in ask_all(asked):
        assert answer.verdict is Verdict.OPEN and answer.way_out.startswith("vit check --budget ")
