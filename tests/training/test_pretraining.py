"""Pretraining: hidden patches are not seen, the loss falls, a stopped training ends with the same bytes."""

import signal
from itertools import count

import pytest
import safetensors.torch
import torch

from tests.shapes import shapes, untrained
from tests.training.common import params_for, same
from vit.config.schema import Params
from vit.data.decoded import Part
from vit.data.joined import Joined
from vit.errors import Interrupted, UserError
from vit.files import write_json
from vit.inference.classifier import Classifier
from vit.training.checkpoint import Checkpoints, Progress
from vit.training.device import choose
from vit.training.distributed import World
from vit.training.initial import initialize, start_of
from vit.training.masked_autoencoding import MaskedAutoencoder
from vit.training.pretraining import PretrainingStep, pretrain

SHORT = {"pretrain.epochs": 3, "pretrain.batch_size": 16, "train.augment.hflip": 0.5, "train.augment.trivial": 0.5}


class Pretraining:
    """The middle of stage pretrain, with its checkpoints in `folder`."""

    def __init__(self, params: Params, parts: tuple[Part, Part], folder):
        compute, _ = choose(params.train, params.model, params.pack.image_size, World())
        self.params, self.part = params, Joined(*parts)
        self.classifier: Classifier = untrained(params, parts[0])
        self.step = PretrainingStep(self.classifier, params.pretrain, compute)
        self.checkpoints = Checkpoints(folder)
        folder.mkdir(exist_ok=True)

    def run(self) -> "Pretraining":
        self.progress, self.shown, self.noted = self.checkpoints.restore(self.step), [], []
        pretrain(
            self.step, self.classifier, self.part, self.params.pretrain, self.params.train, self.progress,
            self.checkpoints, lambda progress: self.shown.append(progress.steps), self._note,
        )  # fmt: skip
        return self

    def _note(self, progress: Progress, sums: torch.Tensor) -> None:
        self.noted.append((progress.steps, sums.item()))


@pytest.fixture
def parts(tmp_path) -> tuple[Part, Part]:
    return shapes(tmp_path, 8, seed=0), shapes(tmp_path, 5, seed=1)


@pytest.mark.parametrize(
    "model", [{"pool": "cls", "reg_tokens": 2}, {"pool": "avg"}, {"pool": "map", "pre_norm": True}]
)
def test_neither_the_encoder_nor_a_prediction_depends_on_hidden_pixels(tmp_path, parts, model):
    changes = {f"model.{key}": value for key, value in model.items()}
    params = params_for(tmp_path, **SHORT, **changes, **{"model.pos_embed": "sincos2d"})
    encoder = untrained(params, parts[0]).model.eval()
    patch = params.model.patch_size
    grid = (8 // patch, 8 // patch)
    autoencoder = MaskedAutoencoder(encoder, grid, patch, 1, 0.75, 8, 1).eval()
    x, noise = torch.randn(3, 1, 8, 8), torch.rand(3, autoencoder.patches)
    visible, hidden = autoencoder.choose(noise)
    assert visible.shape[1] == autoencoder.patches // 4
    assert torch.cat([visible, hidden], dim=1).sort(dim=1).values.tolist() == 3 * [list(range(autoencoder.patches))]

    def changed(at: torch.Tensor) -> torch.Tensor:
        """The images with other pixels in the patches (3, K)."""
        is_changed = torch.zeros(3, autoencoder.patches).scatter(1, at, 1.0).reshape(3, 1, *grid)
        is_changed = is_changed.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
        return x + 5 * is_changed * torch.randn_like(x)

    seen, other = autoencoder.encode(x, visible), changed(hidden)
    assert not torch.equal(x, other) and torch.equal(seen, autoencoder.encode(other, visible))
    assert not torch.allclose(seen, autoencoder.encode(changed(visible), visible))
    predicted = autoencoder.decode(seen, visible, hidden)
    assert torch.equal(predicted, autoencoder.decode(autoencoder.encode(other, visible), visible, hidden))
    assert predicted.shape == (3, hidden.shape[1], patch**2)
    assert not torch.allclose(autoencoder(x, noise), autoencoder(other, noise))  # only the target sees them


def test_the_target_is_what_the_hidden_patch_holds_normalized(tmp_path, parts):
    encoder = untrained(params_for(tmp_path), parts[0]).model
    autoencoder = MaskedAutoencoder(encoder, (4, 4), 2, 1, 0.75, 8, 1)
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    target = autoencoder.target(x, torch.tensor([[5]]))  # rows 2 and 3, columns 2 and 3: 18, 19, 26, 27
    pixels = torch.tensor([18.0, 19.0, 26.0, 27.0])
    torch.testing.assert_close(target[0, 0], (pixels - pixels.mean()) / pixels.std())


def test_the_loss_falls_and_training_starts_from_what_was_learned_with_a_new_head(tmp_path, parts):
    params = params_for(tmp_path, **SHORT | {"pretrain.epochs": 8, "pretrain.lr": 0.01})
    done = Pretraining(params, parts, tmp_path / "checkpoints").run()
    losses = [row["train_loss"] for row in done.progress.history]
    assert len(losses) == 8 and losses[-1] < 0.9 * losses[0]
    weights = done.step.weights()
    assert not [name for name in weights if name.startswith("head")]
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors")
    known = {name: done.classifier.config[name] for name in ("image_size", "channels", "model")}
    write_json(tmp_path / "config.json", known | {"classes": []})
    fresh = untrained(params, parts[0])
    head = fresh.model.head.weight.clone()
    assert initialize(fresh, tmp_path) == ["new head for 4 classes, because pretraining learned none"]
    assert torch.equal(fresh.model.head.weight, head)
    assert all(torch.equal(weight, fresh.model.state_dict()[name]) for name, weight in weights.items())


class Killed(Exception):
    """Instead of a kill: nothing is saved after it."""


def stop_in_step(patch: pytest.MonkeyPatch, number: int, is_kill: bool) -> None:
    """Let the step that is `number` from here, counted from 1, receive SIGINT, or end the program at once."""
    real, steps = PretrainingStep.__call__, count(1)

    def stopping(step, *inputs):
        if next(steps) == number:
            if is_kill:
                raise Killed
            signal.raise_signal(signal.SIGINT)
        return real(step, *inputs)

    patch.setattr(PretrainingStep, "__call__", stopping)


def test_a_pretraining_that_was_stopped_ends_with_the_same_bytes(tmp_path, parts):
    params = params_for(tmp_path, **SHORT)
    whole = Pretraining(params, parts, tmp_path / "whole").run()
    assert whole.progress.steps == 12  # 4 in each of 3 epochs
    assert whole.shown == [4, 8, 12] and [steps for steps, _ in whole.noted] == [*range(1, 13)]
    assert whole.noted[3][1] / 52 == whole.progress.history[0]["train_loss"]

    def stopped(after: int, is_kill: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            stop_in_step(patch, after, is_kill)
            Pretraining(params, parts, tmp_path / "stopped").run()

    with pytest.raises(Interrupted, match=r"stopped by SIGINT after step 2 of 12; start it again to resume"):
        stopped(after=2, is_kill=False)
    with pytest.raises(Killed):
        stopped(after=5, is_kill=True)  # step 7, in the second epoch, which begins again
    with pytest.raises(Interrupted, match="after step 8 of 12"):
        stopped(after=4, is_kill=False)  # the last step of the second epoch
    resumed = Pretraining(params, parts, tmp_path / "stopped").run()
    assert same(whole.step.weights(), resumed.step.weights())
    assert whole.progress.history == resumed.progress.history
    other = params_for(tmp_path, **SHORT | {"train.seed": 1})
    assert not same(whole.step.weights(), Pretraining(other, parts, tmp_path / "other").run().step.weights())


def test_training_starts_from_pretrained_weights_only_if_there_are_any(tmp_path):
    pretrained, init = tmp_path / "pretrained", tmp_path / "init"
    pretrained.mkdir()
    (pretrained / "README.txt").write_text("off")
    assert start_of(pretrained, init) == init
    (pretrained / "model.safetensors").write_bytes(b"")
    assert start_of(pretrained, init) == pretrained


def test_an_infinite_loss_ends_in_one_line(tmp_path, parts):
    params = params_for(tmp_path, **SHORT)
    broken = Pretraining(params, parts, tmp_path / "broken")
    with torch.no_grad():
        broken.step.autoencoder.predict.bias.fill_(float("nan"))
    with pytest.raises(
        UserError, match=r"^pretraining diverged: the loss is nan at step 1, .*lower pretrain\.lr \(0\.0015\)$"
    ):
        broken.run()


def test_joined_splits_give_the_images_in_the_order_asked_for(parts):
    joined = Joined(*parts)
    assert len(joined) == 52
    together = torch.cat([parts[0].images, parts[1].images])
    asked = [torch.tensor([51, 0, 32, 31]), torch.tensor([1]), torch.tensor([40, 33])]
    for chosen, images in zip(asked, joined.batches(asked), strict=True):
        assert torch.equal(images, together[chosen])
