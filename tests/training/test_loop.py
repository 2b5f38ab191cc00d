import subprocess
import sys
import threading
import time

import pytest
import torch

from tests.presets import preset
from tests.shapes import shapes, untrained
from vit.data.batches import Packed
from vit.errors import UserError
from vit.inference import Classifier
from vit.params import Params
from vit.training import checkpoint
from vit.training.checkpoint import Progress
from vit.training.device import choose
from vit.training.loop import evaluate, first_batch, fit
from vit.training.optim import new_optimizer


class Killed(Exception):
    pass


class Training:
    """A training as the stage runs it, with a checkpoint after each epoch."""

    def __init__(self, params: Params, parts, path):
        self.params, self.parts, self.path = params, parts, path
        self.classifier = untrained(params, parts[0])
        self.optimizer = new_optimizer(self.classifier.model, params.train)
        self.progress = checkpoint.restore(path, self.classifier.model, self.optimizer)

    def run(self, die_after: int | None = None) -> "Training":
        def after_epoch(progress: Progress) -> None:
            checkpoint.save(self.path, progress, self.classifier.model, self.optimizer)
            if len(progress.history) == die_after:
                raise Killed

        compute = choose(self.params.train, self.params.model)
        train = self.params.train
        fit(self.classifier, self.optimizer, *self.parts, train, compute, self.progress, after_epoch)
        return self


def params_for(tmp_path, **changes) -> Params:
    """A model 16 wide on the CPU, with everything at random that a training can have."""
    settings = {
        "model.embed_dim": 16,
        "model.drop_rate": 0.1,
        "model.drop_path_rate": 0.2,
        "train.device": "cpu",
        "train.precision": "fp32",
        "train.epochs": 4,
        "train.batch_size": 16,
        "train.augment.degrees": 10.0,
        "train.augment.erasing": 0.2,
    }
    return preset(tmp_path, "shapes", settings | changes)


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
    training = Training(params_for(tmp_path, **calm), (part, part), tmp_path / "a.pt").run()
    assert training.progress.history[-1]["train_accuracy"] == 1.0
    assert training.progress.history[-1]["val_accuracy"] == 1.0
    assert training.progress.history[-1]["train_loss"] < 0.05
    # What stands in the history is what the model answers.
    predictions = training.classifier.logits(part.images).argmax(dim=1)
    assert torch.equal(predictions, part.labels)


def test_a_killed_training_continues_to_the_very_same_end(tmp_path, parts):
    params = params_for(tmp_path)
    whole = Training(params, parts, tmp_path / "whole.pt").run()
    with pytest.raises(Killed):
        Training(params, parts, tmp_path / "killed.pt").run(die_after=2)
    continued = Training(params, parts, tmp_path / "killed.pt")
    assert [row["epoch"] for row in continued.progress.history] == [1, 2]
    continued.run()
    assert continued.progress.history == whole.progress.history
    assert continued.progress.learning_rates == whole.progress.learning_rates
    for first, second in (
        (whole.classifier.model.state_dict(), continued.classifier.model.state_dict()),
        (whole.progress.best_weights, continued.progress.best_weights),
    ):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_training_on_mixed_images_learns_and_is_continued_to_the_very_same_end(tmp_path, parts):
    mixed = {f"train.augment.{name}": 0.5 for name in ("mixup", "cutmix", "trivial")}
    params = params_for(tmp_path, **mixed, **{"train.epochs": 6})
    whole = Training(params, parts, tmp_path / "whole.pt").run().progress.history
    with pytest.raises(Killed):
        Training(params, parts, tmp_path / "killed.pt").run(die_after=3)
    assert Training(params, parts, tmp_path / "killed.pt").run().progress.history == whole
    assert whole[-1]["train_loss"] < whole[0]["train_loss"]
    assert 0 <= whole[-1]["train_accuracy"] <= 1


def test_the_first_batch_is_the_same_before_and_after_training_and_disturbs_no_draw(tmp_path, parts):
    params = params_for(tmp_path, **{"train.augment.cutmix": 1.0, "train.epochs": 1})
    training = Training(params, parts, tmp_path / "a.pt")
    state = torch.get_rng_state()
    x, shares = first_batch(training.classifier, parts[0], params.train)
    assert torch.equal(torch.get_rng_state(), state)
    training.run()
    again = first_batch(training.classifier, parts[0], params.train)
    assert torch.equal(x, again[0]) and torch.equal(shares, again[1])
    assert x.shape == (16, 1, 8, 8) and shares.shape == (16, 4)
    assert x.min() >= -1e-6 and x.max() <= 1 + 1e-6


def test_the_first_batch_is_what_the_model_is_first_trained_on(tmp_path, parts):
    params = params_for(tmp_path, **{"train.epochs": 1})
    training = Training(params, parts, tmp_path / "a.pt")
    seen = []
    training.classifier.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0].clone()))
    training.run()
    x, shares = first_batch(training.classifier, parts[0], params.train)
    mean, std = (torch.tensor(values) for values in (training.classifier.mean, training.classifier.std))
    torch.testing.assert_close(seen[0] * std + mean, x)
    assert torch.equal(shares.sum(dim=1), torch.ones(16))


def test_equal_seeds_train_alike_and_others_do_not(tmp_path, parts):
    histories = [
        Training(params_for(tmp_path, **{"train.seed": seed, "train.epochs": 2}), parts, tmp_path / f"{run}.pt").run()
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
    training = Training(params_for(tmp_path, **still), parts, tmp_path / "a.pt").run()
    first, second = training.progress.history
    assert first["train_loss"] != second["train_loss"]
    assert first["val_loss"] == second["val_loss"]


def test_every_step_and_epoch_leaves_its_entry(tmp_path, parts):
    progress = Training(params_for(tmp_path), parts, tmp_path / "a.pt").run().progress
    # 40 images in batches of 16: 3 steps an epoch, 12 in 4 epochs, of which the first 3 warm up to 0.002.
    assert len(progress.learning_rates) == 12
    assert progress.learning_rates[:3] == pytest.approx([0.002 / 3, 0.004 / 3, 0.002])
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4]
    assert len(progress.clock) == 4


def test_measured_times_are_in_the_clock_and_not_in_the_history(tmp_path, parts):
    progress = Training(params_for(tmp_path, **{"train.epochs": 1}), parts, tmp_path / "a.pt").run().progress
    assert list(progress.history[0]) == ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    assert list(progress.clock[0]) == ["time", "epoch_seconds", "images_per_second", "input_wait_share"]
    assert 0 < progress.clock[0]["input_wait_share"] < 1
    assert progress.clock[0]["images_per_second"] * progress.clock[0]["epoch_seconds"] >= 40


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
def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss_then_comes_first(scores, epoch):
    assert Progress(history=rows(*scores)).best["epoch"] == epoch


def test_the_kept_weights_are_those_of_the_best_epoch(tmp_path, parts):
    # Against labels moved by one, every epoch of learning makes val worse: the best is not the last.
    misleading = Packed(parts[1].images, (parts[1].labels + 1) % 4)
    params = params_for(tmp_path, **{"train.lr": 0.01, "train.epochs": 6})
    training = Training(params, (parts[0], misleading), tmp_path / "a.pt").run()
    best = training.progress.best
    assert best["epoch"] < 6
    classifier = untrained(params, parts[0])
    classifier.model.load_state_dict(training.progress.best_weights)
    assert evaluate(classifier, misleading, 64) == (best["val_loss"], best["val_accuracy"])


@pytest.mark.parametrize("clip_grad", [None, 1.0])
def test_a_loss_that_is_no_number_ends_the_training_naming_lr(tmp_path, parts, clip_grad):
    # One step of 1e38 throws the weights out of range; the second batch shows it.
    params = params_for(tmp_path, **{"train.lr": 1e38, "train.warmup_epochs": 0, "train.clip_grad": clip_grad})
    training = Training(params, parts, tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"diverged in epoch 1 \(train loss (nan|inf), .*; lower train\.lr \(1e\+38\)"):
        training.run()
    assert not (tmp_path / "a.pt").exists()


def test_weights_that_the_last_step_ruined_end_the_training_too(tmp_path, parts):
    # The one step of the one epoch: its loss is still a number, what it leaves behind is not.
    params = params_for(
        tmp_path, **{"train.lr": 1e38, "train.warmup_epochs": 0, "train.epochs": 1, "train.batch_size": 40}
    )
    training = Training(params, parts, tmp_path / "a.pt")
    with pytest.raises(UserError, match="loss"):
        training.run()


def test_clipping_bounds_the_step_of_plain_descent(tmp_path, parts):
    params = params_for(tmp_path, **{"train.clip_grad": 0.01, "train.epochs": 1, "train.batch_size": 40})
    training = Training(params, parts, tmp_path / "a.pt").run()
    norm = torch.stack([parameter.grad.norm() for parameter in training.classifier.model.parameters()]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


def test_evaluation_does_not_depend_on_the_batch_size(tmp_path, parts):
    classifier = untrained(params_for(tmp_path), parts[0])
    one, all_at_once = evaluate(classifier, parts[0], 3), evaluate(classifier, parts[0], 1000)
    assert one[1] == all_at_once[1]
    assert one[0] == pytest.approx(all_at_once[0], rel=1e-5)


def test_evaluation_changes_no_weight_and_drops_nothing(tmp_path, parts):
    classifier = untrained(params_for(tmp_path, **{"model.drop_rate": 0.5}), parts[0])
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    assert evaluate(classifier, parts[0], 16) == evaluate(classifier, parts[0], 16)
    assert all(torch.equal(value, before[name]) for name, value in classifier.model.state_dict().items())


def test_a_training_without_a_checkpoint_begins_from_nothing(tmp_path, parts):
    training = Training(params_for(tmp_path), parts, tmp_path / "absent.pt")
    assert training.progress == Progress()


def test_a_checkpoint_is_read_without_running_what_it_holds(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    path = tmp_path / "evil.pt"
    torch.save({"model": Evil(), "optimizer": {}, "progress": {}}, path)
    model = torch.nn.Linear(1, 1)
    with pytest.raises(Exception, match="Weights only load failed"):
        checkpoint.restore(path, model, torch.optim.AdamW(model.parameters()))


def test_a_training_that_another_process_holds_is_waited_for(tmp_path):
    path = tmp_path / "key.pt"
    hold = (
        "import sys, filelock as f; lock = f.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", hold, str(path.with_suffix(".lock"))]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with checkpoint.claimed(path.with_name("other.pt")):
            pass
        threading.Timer(0.3, other.kill).start()  # as kill -9: the lock must not outlive its process
        began = time.monotonic()
        with checkpoint.claimed(path):
            assert time.monotonic() - began > 0.2
    finally:
        other.kill()
        other.communicate()


def test_a_training_in_bfloat16_learns_and_answers_in_float32(tmp_path, parts):
    params = params_for(tmp_path, **{"train.precision": "bf16", "train.epochs": 2})
    training = Training(params, parts, tmp_path / "a.pt").run()
    exact = Training(params_for(tmp_path, **{"train.epochs": 2}), parts, tmp_path / "b.pt").run()
    assert training.progress.history[0]["train_loss"] != exact.progress.history[0]["train_loss"]
    assert training.progress.history[0]["train_loss"] == pytest.approx(
        exact.progress.history[0]["train_loss"], rel=0.02
    )
    assert isinstance(training.classifier, Classifier)
    assert training.classifier.logits(parts[0].images).dtype == torch.float32
    assert {value.dtype for value in training.progress.best_weights.values()} == {torch.float32}
