"""Rare classes in training: which images an epoch shows, and by which metric an epoch is chosen."""

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from tests.shapes import Training, shapes
from tests.training.common import HARD, RICH, params_for, same
from tests.training.test_feed import batches, feed_of, whole
from vit.data.batches import Packed
from vit.data.seeds import seeded
from vit.training.balance import balanced_order, class_weights
from vit.training.checkpoint import Progress
from vit.training.distillation import training_loss
from vit.training.distributed import World
from vit.training.loop import is_over

pytestmark = pytest.mark.long

# Class 2 has no images; the others are as unequal as 1:14.
LABELS = torch.tensor([3] * 28 + [0] * 10 + [1] * 2)[torch.randperm(40, generator=seeded(0, "labels"))]


def rare(part: Packed, keep: int = 2) -> Packed:
    """The part with only `keep` images of each class but the first."""
    order = torch.cat([(part.labels == label).nonzero()[: None if label == 0 else keep, 0] for label in range(4)])
    return Packed(part.images[order], part.labels[order])


@pytest.fixture
def parts(tmp_path):
    return rare(shapes(tmp_path, 20, seed=0)), rare(shapes(tmp_path, 8, seed=1))


def test_an_epoch_shows_every_class_and_every_image_of_a_class_equally_often():
    for epoch in range(20):
        order = balanced_order(LABELS, seeded(0, "order", epoch))
        assert len(order) == 40
        shown = LABELS[order].bincount(minlength=4).tolist()
        assert shown[2] == 0 and sorted(shown)[1:] == [13, 13, 14]  # 40 images for 3 classes
        times = order.bincount(minlength=40)
        for label in (0, 1, 3):
            of_class = times[label == LABELS]
            assert of_class.max() - of_class.min() <= 1
        assert not torch.equal(LABELS[order], LABELS[order].sort().values)


def test_all_images_of_a_frequent_class_and_every_class_for_the_odd_image_come_up_in_time():
    orders = [balanced_order(LABELS, seeded(0, "order", epoch)) for epoch in range(40)]
    assert torch.cat(orders).unique().tolist() == list(range(40))
    longer = {int(LABELS[order].bincount(minlength=4).argmax()) for order in orders}
    assert longer == {0, 1, 3}


def test_what_an_epoch_shows_is_a_function_of_seed_and_epoch_and_gone_on_with_at_any_step(tmp_path, parts):
    params = params_for(tmp_path, **{"train.sampler": "balanced", "train.augment.mixup": 0.5, "train.batch_size": 8})
    feed = feed_of(params, parts[0])
    epoch = batches(feed, 3)
    torch.manual_seed(99)
    rest = batches(feed_of(params, parts[0]), 3, done=1)
    assert [count for count, _ in epoch] == [8, 8, 8, 2] and len(rest) == 3
    for (_, pieces), (_, again) in zip(epoch[1:], rest, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(whole(pieces), whole(again), strict=True))
    other = batches(feed, 4)[0][1]
    assert not torch.equal(whole(epoch[0][1])[0], whole(other)[0])


def test_processes_together_have_the_very_balanced_images_of_one_process(tmp_path, parts):
    params = params_for(tmp_path, **{"train.sampler": "balanced"})
    alone = batches(feed_of(params, parts[0]), 1)
    shared = [batches(feed_of(params, parts[0], World(rank, 3)), 1) for rank in range(3)]
    for number, (_, pieces) in enumerate(alone):
        together = whole([piece for share in shared for piece in share[number][1]])
        assert all(torch.equal(one, other) for one, other in zip(whole(pieces), together, strict=True))
    labels = torch.cat([whole(pieces)[1] for _, pieces in alone])
    assert sorted(labels.bincount().tolist()) == [6, 6, 7, 7]  # of the 26 images, 20 are of class 0


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_a_balanced_training_chosen_by_another_metric_is_continued_to_the_very_same_end(tmp_path, parts, metric):
    params = params_for(tmp_path, **RICH, **{"train.sampler": "balanced", "train.select_by": metric})
    training = Training(params, parts, tmp_path / "whole").run()
    whole_one = training.progress

    def die(progress: Progress) -> None:
        if len(progress.history) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Training(params, parts, tmp_path / "killed").run(die)
    continued = Training(params, parts, tmp_path / "killed").run().progress
    assert (continued.history, continued.errors) == (whole_one.history, whole_one.errors)
    assert same(continued.best_weights, whole_one.best_weights)
    # What is kept has the very score that stands in the history.
    training.classifier.model.load_state_dict(whole_one.best_weights)
    predictions = training.classifier.logits(parts[1].images).argmax(dim=1)
    by_sklearn = {
        "balanced_accuracy": lambda: balanced_accuracy_score(parts[1].labels, predictions),
        "macro_f1": lambda: f1_score(parts[1].labels, predictions, average="macro", zero_division=0),
    }
    assert whole_one.best[f"val_{metric}"] == pytest.approx(by_sklearn[metric]())
    assert list(whole_one.history[0])[-1] == f"val_{metric}" and len(whole_one.errors) == 4


# Epoch 1 answers the frequent class alone, epoch 2 tells the classes apart, epoch 3 is surest.
HISTORY = [
    {"epoch": 1, "val_loss": 0.9, "val_accuracy": 0.90, "val_balanced_accuracy": 0.50, "val_macro_f1": 0.47},
    {"epoch": 2, "val_loss": 0.6, "val_accuracy": 0.85, "val_balanced_accuracy": 0.80, "val_macro_f1": 0.70},
    {"epoch": 3, "val_loss": 0.3, "val_accuracy": 0.80, "val_balanced_accuracy": 0.70, "val_macro_f1": 0.65},
]


@pytest.mark.parametrize(
    ("metric", "error", "leader", "best"),
    [
        ("accuracy", 0.01, 1, 1),
        ("balanced_accuracy", 0.01, 2, 2),
        ("macro_f1", 0.01, 2, 2),
        ("macro_f1", 0.06, 2, 3),  # within a standard error the later one
        ("log_loss", 0.01, 3, 3),
    ],
)
def test_the_metric_decides_which_epoch_leads_and_which_is_kept(metric, error, leader, best):
    progress = Progress(select_by=metric, history=HISTORY, errors=[error] * 3)
    assert (progress.leader["epoch"], progress.best["epoch"]) == (leader, best)


def test_of_log_losses_the_latest_within_a_standard_error_above_the_lowest_is_kept():
    history = [{"epoch": epoch, "val_loss": loss} for epoch, loss in enumerate((0.5, 0.3, 0.34, 0.36), start=1)]
    progress = Progress(select_by="log_loss", history=history, errors=[0.2, 0.05, 0.2, 0.2])
    assert (progress.leader["epoch"], progress.best["epoch"]) == (2, 3)


@pytest.mark.parametrize(("metric", "over"), [("accuracy", True), ("balanced_accuracy", False), ("log_loss", False)])
def test_patience_waits_for_a_better_epoch_by_the_metric(tmp_path, metric, over):
    train = params_for(tmp_path, **{"train.patience": 2, "train.select_by": metric}).train
    assert is_over(Progress(select_by=metric, history=HISTORY, errors=[0.01] * 3), train) is over


def test_the_weights_of_classes_are_those_computed_by_hand_and_1_on_average():
    # 40 images of 3 classes that occur: 40 / (3 * 10), 40 / (3 * 2), 40 / (3 * 28).
    weights = class_weights(LABELS, 4, "balanced")
    assert weights is not None
    assert weights.tolist() == pytest.approx([40 / 30, 40 / 6, 0.0, 40 / 84])
    assert weights[LABELS].mean().item() == pytest.approx(1.0)
    assert class_weights(LABELS, 4, "none") is None


@pytest.mark.parametrize("distillation", [{}, HARD, HARD | {"train.distillation": "soft"}], ids=["no", "hard", "soft"])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_a_weight_counts_the_whole_loss_of_an_image_smoothing_and_teacher_included(tmp_path, distillation, is_mixed):
    train = params_for(tmp_path, **distillation, **{"train.label_smoothing": 0.1}).train
    generator = seeded(0, "logits")
    logits, taught = (torch.randn(3, 4, generator=generator) for _ in range(2))
    labels, weights = torch.tensor([3, 0, 1]), torch.tensor([1.5, 4.0, 0.0, 0.5])
    shares = torch.tensor([[0.0, 0, 0, 1], [0.5, 0.5, 0, 0], [0, 0.25, 0, 0.75]])
    targets, expected = (shares, [0.5, 2.75, 1.375]) if is_mixed else (labels, [0.5, 1.5, 4.0])
    taught = taught if distillation else None
    found = training_loss(logits, targets, taught, train, weights)
    alone = [training_loss(logits[[i]], targets[[i]], None if taught is None else taught[[i]], train) for i in range(3)]
    by_hand = sum(weight * loss for weight, loss in zip(expected, alone, strict=True))
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_an_unweighted_loss_is_the_same_to_the_byte_as_one_without_the_parameter(tmp_path):
    train = params_for(tmp_path).train
    logits, labels = torch.randn(16, 4, generator=seeded(0, "logits")), torch.arange(16) % 4
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=train.label_smoothing, reduction="sum")
    assert torch.equal(training_loss(logits, labels, None, train), expected)
