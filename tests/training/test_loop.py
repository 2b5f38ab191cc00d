import os
import shutil
import signal
import time

import pytest
import torch

from tests.shapes import Training, shapes, untrained
from tests.training.common import RICH, params_for, same
from vit.data.batches import Packed
from vit.errors import Interrupted, UserError
from vit.inference.classifier import Classifier
from vit.inference.scores import standard_error
from vit.training.checkpoint import Progress
from vit.training.distributed import World
from vit.training.feed import first_batch
from vit.training.loop import evaluate, is_over, rates_of

pytestmark = pytest.mark.long


class Killed(Exception):
    pass


def die_after(epochs: int):
    def show(progress: Progress) -> None:
        if len(progress.history) == epochs:
            raise Killed

    return show


@pytest.fixture
def parts(tmp_path):
    return shapes(tmp_path, 10, seed=0), shapes(tmp_path, 4, seed=1)


def test_a_tiny_model_learns_32_images_by_heart(tmp_path):
    part = shapes(tmp_path, 8)
    calm = {
        "model.drop_rate": 0.0,
        "model.drop_path_rate": 0.0,
        "train.augment.degrees": 0.0,
        "train.augment.erasing": 0.0,
        "train.epochs": 60,
        "train.lr": 0.005,
        "train.label_smoothing": 0.0,
    }
    training = Training(params_for(tmp_path, **calm), (part, part), tmp_path / "a").run()
    assert training.progress.history[-1]["train_accuracy"] == 1.0
    assert training.progress.history[-1]["val_accuracy"] == 1.0
    assert training.progress.history[-1]["train_loss"] < 0.05
    # What stands in the history is what the model answers.
    predictions = training.classifier.logits(part.images).argmax(dim=1)
    assert torch.equal(predictions, part.labels)


def test_a_killed_training_continues_to_the_very_same_end(tmp_path, parts):
    params = params_for(tmp_path)
    whole = Training(params, parts, tmp_path / "whole").run()
    with pytest.raises(Killed):
        Training(params, parts, tmp_path / "killed").run(die_after(2))
    continued = Training(params, parts, tmp_path / "killed")
    assert [row["epoch"] for row in continued.progress.history] == [1, 2]
    continued.run()
    assert continued.progress.history == whole.progress.history
    assert continued.progress.steps == whole.progress.steps
    assert same(continued.classifier.model.state_dict(), whole.classifier.model.state_dict())
    assert same(continued.progress.best_weights, whole.progress.best_weights)


def test_a_training_with_everything_on_learns_and_is_continued_to_the_very_same_end(tmp_path, parts):
    params = params_for(tmp_path, **RICH, **{"train.epochs": 6})
    whole = Training(params, parts, tmp_path / "whole").run().progress
    with pytest.raises(Killed):
        Training(params, parts, tmp_path / "killed").run(die_after(3))
    continued = Training(params, parts, tmp_path / "killed").run().progress
    assert continued.history == whole.history
    assert same(continued.best_weights, whole.best_weights)
    assert whole.history[-1]["train_loss"] < whole.history[0]["train_loss"]
    assert 0 <= whole.history[-1]["train_accuracy"] <= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_between_two_steps_and_it_is_continued_to_the_very_same_end(tmp_path, parts, number):
    params = params_for(tmp_path, **RICH)
    whole = Training(params, parts, tmp_path / "whole").run().progress
    stopped = Training(params, parts, tmp_path / "stopped")
    calls = []

    def in_the_middle_of_the_fifth_forward(*_):
        calls.append(number)
        if len(calls) == 9:  # of two pieces a step
            os.kill(os.getpid(), number)

    stopped.classifier.model.register_forward_pre_hook(in_the_middle_of_the_fifth_forward)
    with pytest.raises(Interrupted, match=f"stopped by {number.name} after step 5 of 12; start it again") as raised:
        stopped.run()
    assert raised.value.exit_status == 128 + number
    assert signal.getsignal(number) is not None and stopped.progress.steps == 5
    continued = Training(params, parts, tmp_path / "stopped")
    assert (continued.progress.steps, len(continued.progress.history)) == (5, 1)
    continued.run()
    assert continued.progress.history == whole.history
    assert same(continued.progress.best_weights, whole.best_weights)


def test_a_second_signal_does_not_wait_for_the_step(tmp_path, parts):
    training = Training(params_for(tmp_path), parts, tmp_path / "a")

    def twice(*_):
        noting = signal.getsignal(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT) == noting:  # two that come at once count as one
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    training.classifier.model.register_forward_pre_hook(twice)
    with pytest.raises(KeyboardInterrupt) as raised:
        training.run()
    assert not isinstance(raised.value, Interrupted) and training.progress.steps == 0


def test_a_state_in_the_middle_of_an_epoch_is_gone_on_with(tmp_path, parts):
    params = params_for(tmp_path, **{"train.checkpoint_steps": 2, "train.epochs": 2})
    whole = Training(params, parts, tmp_path / "a").run()
    assert [file.name for file in whole.checkpoints.files()] == ["step-000000006.pt", "step-000000004.pt"]
    whole.checkpoints.files()[0].unlink()
    continued = Training(params, parts, tmp_path / "a")
    assert (continued.progress.steps, len(continued.progress.history)) == (4, 1)
    assert continued.run().progress.history == whole.progress.history
    assert same(continued.progress.best_weights, whole.progress.best_weights)


@pytest.mark.parametrize("pieces", [2, 3, 16])
def test_a_batch_in_pieces_trains_as_the_whole_batch(tmp_path, parts, pieces):
    calm = {"model.drop_rate": 0.0, "model.drop_path_rate": 0.0, "train.epochs": 2}
    whole = Training(params_for(tmp_path, **calm), parts, tmp_path / "a").run()
    # 40 images in batches of 16: the last has 8, so that of 16 pieces half are empty.
    cut = Training(params_for(tmp_path, **calm, **{"train.grad_accum_steps": pieces}), parts, tmp_path / "b").run()
    for one, other in zip(whole.progress.history, cut.progress.history, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    # Not weight by weight: a key's bias has no gradient but rounding, which AdamW makes as large as any.
    logits = [training.classifier.logits(parts[1].images) for training in (whole, cut)]
    torch.testing.assert_close(*logits, atol=1e-3, rtol=1e-3)


def test_blocks_computed_twice_train_to_the_same_bytes(tmp_path, parts):
    once, twice = (
        Training(params_for(tmp_path, **{"train.grad_checkpointing": on, "train.epochs": 2}), parts, tmp_path / str(on))
        for on in (False, True)
    )
    calls = []
    twice.classifier.model.blocks[0].register_forward_pre_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    once.run(), twice.run()
    assert sum(calls) == 2 * twice.progress.steps  # val asks once, without gradients
    assert once.progress.history == twice.progress.history
    assert same(once.progress.best_weights, twice.progress.best_weights)


def test_the_average_of_the_weights_is_what_val_judges_and_what_is_kept(tmp_path, parts):
    params = params_for(tmp_path, **{"train.ema_decay": 0.9})
    training = Training(params, parts, tmp_path / "a").run()
    kept = untrained(params, parts[0])
    kept.model.load_state_dict(training.progress.best_weights)
    best = training.progress.best
    val = evaluate(kept, parts[1], 64, World())
    assert (val.loss, val.accuracy) == (best["val_loss"], best["val_accuracy"])
    assert not same(training.progress.best_weights, training.classifier.model.state_dict())
    plain = Training(params_for(tmp_path), parts, tmp_path / "b").run()
    # The average changes nothing of the training itself.
    assert same(plain.classifier.model.state_dict(), training.classifier.model.state_dict())


def test_patience_ends_a_training_that_no_longer_improves(tmp_path, parts):
    misleading = Packed(parts[1].images, (parts[1].labels + 1) % 4)
    params = params_for(tmp_path, **{"train.lr": 0.01, "train.epochs": 40, "train.patience": 3})
    progress = Training(params, (parts[0], misleading), tmp_path / "a").run().progress
    assert len(progress.history) == progress.leader["epoch"] + 3 < 40
    assert is_over(progress, params.train)
    assert not is_over(Progress(), params.train)


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.slow
def test_a_compiled_training_differs_within_rounding(tmp_path, parts):
    calm = {"model.drop_rate": 0.0, "model.drop_path_rate": 0.0, "train.epochs": 2}
    compiled = Training(params_for(tmp_path, **calm, **{"train.compile": True}), parts, tmp_path / "a").run()
    plain = Training(params_for(tmp_path, **calm), parts, tmp_path / "b").run()
    assert compiled.progress.history[0] == pytest.approx(plain.progress.history[0], rel=1e-3)
    assert compiled.progress.best_weights.keys() == plain.progress.best_weights.keys()


def test_muon_learns(tmp_path, parts):
    progress = Training(params_for(tmp_path, **{"train.optimizer": "muon"}), parts, tmp_path / "a").run().progress
    assert progress.history[-1]["train_loss"] < progress.history[0]["train_loss"]


def test_the_first_batch_is_the_same_before_and_after_training(tmp_path, parts):
    params = params_for(tmp_path, **{"train.augment.cutmix": 1.0, "train.epochs": 1})
    training = Training(params, parts, tmp_path / "a")
    first = first_batch(training.feed)
    training.run()
    assert same(first, first_batch(training.feed))
    assert first["images"].shape == (16, 8, 8, 1) and first["images"].dtype == torch.uint8
    assert first["shares"].shape == (16, 4) and first["shares"].dtype == torch.float32


def test_the_first_batch_is_what_the_model_is_first_trained_on(tmp_path, parts):
    params = params_for(tmp_path, **{"train.epochs": 1})
    training = Training(params, parts, tmp_path / "a")
    seen = []
    training.classifier.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0].clone()))
    training.run()
    first = first_batch(training.feed)
    mean, std = (torch.tensor(values) for values in (training.classifier.mean, training.classifier.std))
    trained_on = 255 * (seen[0] * std + mean).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(first["images"].float(), trained_on, rtol=0, atol=0.501)  # whole numbers of 255
    assert torch.equal(first["shares"].sum(dim=1), torch.ones(16))


def test_of_a_large_first_batch_32_images_are_kept(tmp_path, parts):
    first = {
        size: first_batch(
            Training(params_for(tmp_path, **{"train.batch_size": size}), parts, tmp_path / str(size)).feed
        )
        for size in (32, 40)
    }
    assert first[40]["images"].shape == (32, 8, 8, 1) and first[40]["shares"].shape == (32, 4)
    assert torch.equal(first[40]["shares"], first[32]["shares"])  # the first of them: both have one order


def test_equal_seeds_train_alike_and_others_do_not(tmp_path, parts):
    histories = [
        Training(params_for(tmp_path, **{"train.seed": seed, "train.epochs": 2}), parts, tmp_path / str(run)).run()
        for run, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (training.progress.history for training in histories)
    assert first == again
    assert first != other


def test_no_batch_order_repeats_in_the_next_epoch(tmp_path, parts):
    # A rate of almost zero and nothing at random but the order: equal orders would give equal sums.
    still = {
        "model.drop_rate": 0.0,
        "model.drop_path_rate": 0.0,
        "train.lr": 1e-30,
        "train.augment.degrees": 0.0,
        "train.augment.erasing": 0.5,
        "train.epochs": 2,
    }
    training = Training(params_for(tmp_path, **still), parts, tmp_path / "a").run()
    first, second = training.progress.history
    assert first["train_loss"] != second["train_loss"]
    assert first["val_loss"] == second["val_loss"]


def test_every_step_and_epoch_leaves_its_entry(tmp_path, parts):
    training = Training(params_for(tmp_path), parts, tmp_path / "a").run()
    progress, rates = training.progress, rates_of(training.progress, training.feed)
    # 40 images in batches of 16: 3 steps an epoch, 12 in 4 epochs, of which the first 3 warm up to 0.002.
    assert progress.steps == len(rates) == 12
    assert rates[:3] == pytest.approx([0.002 / 3, 0.004 / 3, 0.002])
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4]
    assert len(progress.clock) == 4
    assert training.shown == [3, 6, 9, 12]


def test_measured_times_are_in_the_clock_and_not_in_the_history(tmp_path, parts):
    progress = Training(params_for(tmp_path, **{"train.epochs": 1}), parts, tmp_path / "a").run().progress
    assert list(progress.history[0]) == ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    measured = progress.clock[0]
    assert list(measured) == ["time", "epoch_seconds", "images_per_second", "input_wait_share", "overhead_share"]
    assert 0 < measured["input_wait_share"] < 1
    assert 0 < measured["overhead_share"] < 1
    inside = measured["epoch_seconds"] * (1 - measured["overhead_share"])
    assert measured["images_per_second"] * inside == pytest.approx(40)


def rows(*scores: tuple[float, float]) -> list[dict]:
    return [
        {"epoch": epoch, "val_accuracy": accuracy, "val_loss": loss}
        for epoch, (accuracy, loss) in enumerate(scores, start=1)
    ]


@pytest.mark.parametrize(
    ("scores", "epoch"),
    [
        ([(0.5, 1.0), (0.9, 2.0), (0.8, 0.1)], 2),
        ([(0.9, 1.0), (0.9, 0.5), (0.9, 0.7)], 2),
        ([(0.5, 0.1), (0.9, 0.5), (0.9, 0.5)], 2),
        ([(0.2, 3.0)], 1),
    ],
    ids=["highest accuracy", "then lowest loss", "then earliest", "only one"],
)
def test_the_most_accurate_epoch_has_of_equals_the_lowest_loss_then_comes_first(scores, epoch):
    assert Progress(history=rows(*scores)).leader["epoch"] == epoch


@pytest.mark.parametrize(
    ("accuracies", "epoch"),
    [
        ((0.50, 0.90, 0.891, 0.80), 3),
        ((0.90, 0.80, 0.88), 1),
        ((1.00, 0.995, 0.90), 2),
        ((0.20,), 1),
    ],
    ids=["the latest within .0095", "none so near", "also at 100 %", "only one"],
)
def test_the_best_epoch_is_the_latest_within_a_standard_error_of_the_most_accurate_one(accuracies, epoch):
    history, images = rows(*((accuracy, 1.0) for accuracy in accuracies)), 1000 if accuracies[0] < 1 else 200
    errors = [standard_error(accuracy, images) for accuracy in accuracies]
    assert Progress(history=history, errors=errors).best["epoch"] == epoch


def test_the_kept_weights_are_those_of_the_best_epoch(tmp_path, parts):
    # Against labels moved by one, every epoch of learning makes val worse: the best is not the last.
    misleading = Packed(parts[1].images, (parts[1].labels + 1) % 4)
    params = params_for(tmp_path, **{"train.lr": 0.01, "train.epochs": 20})
    training = Training(params, (parts[0], misleading), tmp_path / "a").run()
    best = training.progress.best
    assert best["epoch"] < 20
    classifier = untrained(params, parts[0])
    classifier.model.load_state_dict(training.progress.best_weights)
    val = evaluate(classifier, misleading, 64, World())
    assert (val.loss, val.accuracy) == (best["val_loss"], best["val_accuracy"])


@pytest.mark.parametrize("clip_grad", [None, 1.0])
def test_a_loss_that_is_no_number_ends_the_training_naming_lr(tmp_path, parts, clip_grad):
    # One step of 1e38 throws the weights out of range; the second batch shows it.
    params = params_for(tmp_path, **{"train.lr": 1e38, "train.warmup_epochs": 0, "train.clip_grad": clip_grad})
    training = Training(params, parts, tmp_path / "a")
    with pytest.raises(
        UserError, match=r"train loss is (nan|inf) at step 2, .* rate of 9.83e\+37; there is no checkpoint"
    ):
        training.run()
    assert training.checkpoints.files() == []


def test_weights_that_the_last_step_ruined_end_the_training_too(tmp_path, parts):
    # The one step of the one epoch: its loss is still a number, what it leaves behind is not.
    params = params_for(
        tmp_path, **{"train.lr": 1e38, "train.warmup_epochs": 0, "train.epochs": 1, "train.batch_size": 40}
    )
    training = Training(params, parts, tmp_path / "a")
    with pytest.raises(UserError, match="loss"):
        training.run()


def test_clipping_bounds_the_step_of_plain_descent(tmp_path, parts):
    params = params_for(tmp_path, **{"train.clip_grad": 0.01, "train.epochs": 1, "train.batch_size": 40})
    training = Training(params, parts, tmp_path / "a").run()
    norm = torch.stack([parameter.grad.norm() for parameter in training.classifier.model.parameters()]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


def test_evaluation_does_not_depend_on_the_batch_size(tmp_path, parts):
    classifier = untrained(params_for(tmp_path), parts[0])
    one, all_at_once = (evaluate(classifier, parts[0], size, World()) for size in (3, 1000))
    assert one.accuracy == all_at_once.accuracy
    assert one.loss == pytest.approx(all_at_once.loss, rel=1e-5)


def test_evaluation_changes_no_weight_and_drops_nothing(tmp_path, parts):
    classifier = untrained(params_for(tmp_path, **{"model.drop_rate": 0.5}), parts[0])
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    one, again = (evaluate(classifier, parts[0], 16, World()) for _ in range(2))
    assert (one.loss, one.accuracy) == (again.loss, again.accuracy)
    assert all(torch.equal(value, before[name]) for name, value in classifier.model.state_dict().items())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_training_in_half_precision_differs_within_its_tolerance_and_answers_in_float32(tmp_path, parts, precision):
    params = params_for(tmp_path, **{"train.precision": precision, "train.epochs": 2})
    training = Training(params, parts, tmp_path / "a").run()
    exact = Training(params_for(tmp_path, **{"train.epochs": 2}), parts, tmp_path / "b").run()
    assert training.progress.history[0]["train_loss"] != exact.progress.history[0]["train_loss"]
    assert training.progress.history[0]["train_loss"] == pytest.approx(
        exact.progress.history[0]["train_loss"], rel=0.02
    )
    assert isinstance(training.classifier, Classifier)
    assert training.classifier.logits(parts[0].images).dtype == torch.float32
    assert {value.dtype for value in training.progress.best_weights.values()} == {torch.float32}
