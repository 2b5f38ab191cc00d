"""Training on a CUDA device: as on the CPU within rounding, repeatable to the byte, and never waited for in a step."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import free_port
from tests.data.augmentation.common import EVERYTHING, draws_of, noisy, only
from tests.presets import REPO
from tests.shapes import Training, shapes
from tests.training.common import RICH, params_for, same
from vit.data.augmentation.apply import augment
from vit.data.augmentation.changes import draw_changes
from vit.data.augmentation.mixing import mix
from vit.evaluation.explain import explanation_maps
from vit.inference.classifier import Classifier
from vit.tracking.environment import environment
from vit.training.device import apply, choose
from vit.training.distributed import World
from vit.training.recorded import Recorded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")

CALM = {"model.drop_rate": 0.0, "model.drop_path_rate": 0.0, "train.epochs": 2}  # what draws on the device is off


@pytest.fixture
def parts(tmp_path):
    return shapes(tmp_path, 10, seed=0), shapes(tmp_path, 4, seed=1)


@pytest.fixture(autouse=True)
def _as_the_stage_sets_the_process(tmp_path):
    is_strict, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    params = on_cuda(tmp_path)
    apply(choose(params.train, params.model, params.pack.image_size, World())[0])
    yield
    torch.use_deterministic_algorithms(is_strict, warn_only=warns)


def on_cuda(tmp_path, **changes):
    return params_for(tmp_path, **{"train.device": "cuda"} | changes)


def test_auto_takes_the_device_in_half_precision_with_the_fused_kernel_and_says_why(tmp_path):
    auto = {"train.device": "auto", "train.precision": "auto", "train.attention": "auto"}
    params = params_for(tmp_path, **auto)
    compute, why = choose(params.train, params.model, params.pack.image_size, World())
    assert (compute.device, compute.attention) == ("cuda", "fused")
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    assert compute.precision == ("bfloat16" if has_bfloat16 else "float16")
    assert why.startswith("auto precision and attention: tensor cores support bfloat16" if has_bfloat16 else "auto")
    assert environment(compute.device)["device"] == f"cuda ({torch.cuda.get_device_name()})"


@pytest.mark.parametrize("attention", ["math", "fused"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train.grad_accum_steps": 3},
        {"train.ema_decay": 0.9},
        {"train.augment.mixup": 0.5, "train.augment.cutmix": 0.5},
    ],
    ids=["plain", "in pieces", "average", "mixed"],
)
def test_a_training_in_float32_is_that_of_the_cpu_within_rounding(tmp_path, parts, attention, changes):
    changes = CALM | {"train.attention": attention} | changes
    cpu = Training(params_for(tmp_path, **changes), parts, tmp_path / "a").run()
    cuda = Training(on_cuda(tmp_path, **changes), parts, tmp_path / "b").run()
    for one, other in zip(cpu.progress.history, cuda.progress.history, strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    logits = [training.classifier.logits(parts[1].images) for training in (cpu, cuda)]
    torch.testing.assert_close(*logits, atol=3e-3, rtol=3e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("attention", ["math", "fused"])
def test_a_training_in_half_precision_is_that_of_the_cpu_within_its_tolerance(tmp_path, parts, precision, attention):
    exact = Training(params_for(tmp_path, **CALM), parts, tmp_path / "a").run().progress
    half = {"train.precision": precision, "train.attention": attention}
    training = Training(on_cuda(tmp_path, **CALM, **half), parts, tmp_path / "b").run()
    for one, other in zip(exact.history, training.progress.history, strict=True):
        assert one["train_loss"] != other["train_loss"]
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=0.02)
    assert {value.dtype for value in training.progress.best_weights.values()} == {torch.float32}


def digest(folder: Path, changes: dict, killed_at: int = 0) -> str:
    """What tests/training/digest.py prints; empty if it was killed."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.training.digest", str(folder), json.dumps(changes), str(killed_at)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300)
    assert done.returncode == (-signal.SIGKILL if killed_at else 0), done.stderr
    assert "nondeterministic" not in done.stderr and "non-deterministic" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("attention", "pieces"), [("math", 2), ("fused", 2), ("fused", 1)])
def test_a_training_repeats_to_the_byte_in_a_new_process_also_when_it_is_killed(tmp_path, precision, attention, pieces):
    settings = {"train.device": "cuda", "train.precision": precision, "train.attention": attention}
    changes = RICH | settings | {"train.grad_accum_steps": pieces, "train.checkpoint_steps": 2}
    changes |= {"model.embed_dim": 64, "model.attn_drop_rate": 0.1}
    whole = digest(tmp_path / "whole", changes)
    assert digest(tmp_path / "killed", changes, killed_at=5) == ""  # the sixth of 12
    assert list((tmp_path / "killed" / "key").glob("step-*.pt"))
    assert digest(tmp_path / "killed", changes) == whole != ""


def test_blocks_computed_twice_train_to_the_same_bytes(tmp_path, parts):
    once, twice = (
        Training(on_cuda(tmp_path, **{"train.grad_checkpointing": on, "train.epochs": 2}), parts, tmp_path / str(on))
        for on in (False, True)
    )
    once.run(), twice.run()
    assert once.progress.history == twice.progress.history
    assert same(once.progress.best_weights, twice.progress.best_weights)


MODELS = {
    "vit": {"train.optimizer": "muon", "train.ema_decay": 0.9, "model.attn_drop_rate": 0.1},
    "stem": {"model.stem": "conv", "model.stem_widths": [8, 16]},
    "cnn": {"model.name": "cnn"},
    "resnet18": {"model.name": "torchvision/resnet18"},
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)
def test_what_is_recorded_as_graphs_trains_to_the_bytes_of_what_is_launched_kernel_by_kernel(
    tmp_path, parts, precision, changes, monkeypatch
):
    params = on_cuda(tmp_path, **{"train.precision": precision} | changes)
    recorded = Training(params, parts, tmp_path / "recorded").run()
    monkeypatch.setattr(Recorded, "__call__", lambda self, x: self.compute(x))
    launched = Training(params, parts, tmp_path / "launched").run()
    graphs = recorded.step.predict
    assert len(graphs.launches) == 2 and graphs.compute not in graphs.launches.values()  # whole batches and the last
    assert recorded.progress.history == launched.progress.history
    assert same(recorded.progress.best_weights, launched.progress.best_weights)


def test_nothing_is_recorded_where_its_memory_may_not_fit_and_that_is_said(tmp_path, parts, monkeypatch, caplog):
    training = Training(on_cuda(tmp_path), parts, tmp_path / "a")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (torch.cuda.max_memory_allocated(), 2**40))
    with caplog.at_level("INFO", "vit"):
        training.run()
    assert set(training.step.predict.launches.values()) == {training.step.model}
    assert "no CUDA graphs: " in caplog.text


def first_pieces(training: Training) -> tuple[int, list]:
    count, pieces = next(training.feed.epoch(0))
    return count, list(pieces)


def test_a_step_whose_scaled_gradients_overflow_is_left_out_and_the_scale_halved(tmp_path, parts):
    training = Training(on_cuda(tmp_path, **{"train.precision": "float16"}), parts, tmp_path / "a")
    step, before = training.step, training.step.weights()
    step.scaler = torch.amp.GradScaler("cuda", init_scale=2.0**60)
    count, pieces = first_pieces(training)
    sums = step(pieces, count, 0.001)
    assert sums.isfinite().all() and same(step.weights(), before)
    assert step.scaler.get_scale() == 2.0**59
    step.scaler = torch.amp.GradScaler("cuda", init_scale=2.0**10)
    step(pieces, count, 0.001)
    assert not same(step.weights(), before)


def test_gradients_are_clipped_after_they_are_unscaled(tmp_path, parts):
    settings = {"train.precision": "float16", "train.clip_grad": 0.01, "train.epochs": 1, "train.batch_size": 40}
    training = Training(on_cuda(tmp_path, **settings), parts, tmp_path / "a").run()
    norm = torch.stack([parameter.grad.norm() for parameter in training.classifier.model.parameters()]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("is_near", [True, False], ids=["images on the device", "images on the CPU"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_no_step_waits_for_the_device(tmp_path, parts, is_near, optimizer, monkeypatch):
    if not is_near:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (parts[0].images.nbytes, 2**40))
    settings = {f"train.augment.{name}": value for name, value in (EVERYTHING | {"cutmix": 0.5, "mixup": 0.5}).items()}
    settings |= {"train.precision": "bfloat16", "train.ema_decay": 0.9, "train.optimizer": optimizer}
    training = Training(on_cuda(tmp_path, **settings), parts, tmp_path / "a")
    assert (training.feed.part.images.device.type == "cuda") is is_near
    for epoch in range(3):
        if epoch:  # the first one makes the optimizer's state
            torch.cuda.set_sync_debug_mode("error")
        try:
            for images, pieces in training.feed.epoch(epoch):
                training.step(pieces, images, 0.001)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("packed", [(48, 64), (56, 72)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("changes", [{"hflip": 0.5}, EVERYTHING, {"mixup": 0.5}, {"cutmix": 1.0}], ids=str)
def test_images_are_varied_and_mixed_on_the_device_as_on_the_cpu(packed, channels, changes):
    images, settings, made = noisy(64, *packed, channels), only(**changes), []
    drawn = draw_changes(64, settings, draws_of())
    for device in ("cpu", "cuda"):
        x = augment(images.to(device), drawn, (48, 64), [0.4] * channels, [0.2] * channels)
        targets = torch.arange(64, device=device) % 4
        if settings.mixup or settings.cutmix:
            x, targets = mix(x, targets, 4, settings, draws_of(1))
        made.append((x.cpu(), targets.cpu()))
    (x, targets), (moved_x, moved_targets) = made
    torch.testing.assert_close(targets, moved_targets)
    # Rounding may tip a value over the edge of posterize or solarize.
    assert ((x - moved_x).abs() > 2e-3).float().mean() < 1e-3


def test_a_model_trained_on_the_device_answers_alike_on_the_cpu(tmp_path, parts):
    training = Training(on_cuda(tmp_path, **{"train.precision": "bfloat16"}), parts, tmp_path / "a").run()
    training.classifier.save(tmp_path / "model", training.progress.best_weights)
    answers = [Classifier.load(tmp_path / "model", device).logits(parts[1].images) for device in ("cpu", "cuda")]
    torch.testing.assert_close(*answers, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_a_model_looks_at_the_same_patches_on_the_device_as_on_the_cpu(tmp_path, parts, pool):
    changes = CALM | {"model.pool": pool, "train.attention": "fused"}
    training = Training(on_cuda(tmp_path, **changes), parts, tmp_path / "a").run()
    training.classifier.save(tmp_path / "model", training.progress.best_weights)
    images, labels = parts[1].images, parts[1].labels
    maps = [explanation_maps(Classifier.load(tmp_path / "model", device), images, labels) for device in ("cpu", "cuda")]
    assert maps[0].std() > 0 and abs(maps[0] - maps[1]).max() < 1e-3 * maps[0].max()


class GroupOfOne(World):
    """One process that exchanges as several do."""

    is_group = True


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_group_over_nccl_trains_as_one_process_and_is_gone_on_with(tmp_path, parts, parallel, monkeypatch):
    settings = CALM | {"train.parallel": parallel, "train.precision": "bfloat16"}
    settings |= {"train.ema_decay": 0.9} if parallel == "ddp" else {}
    alone = Training(on_cuda(tmp_path, **settings), parts, tmp_path / "alone").run().progress
    names = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    world = GroupOfOne()
    with world.joined(torch.device("cuda")):
        params = on_cuda(tmp_path, **settings)
        whole = Training(params, parts, tmp_path / "whole", world=world).run()
        assert torch.distributed.get_backend() == "nccl"
        whole.checkpoints.files()[0].unlink()
        continued = Training(params, parts, tmp_path / "whole", world=world)
        assert continued.progress.steps == 3
        continued.run()
    assert continued.progress.history == whole.progress.history
    assert same(continued.progress.best_weights, whole.progress.best_weights)
    for one, other in zip(alone.history, whole.progress.history, strict=True):
        assert one == pytest.approx(other, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_compiled_training_differs_within_its_tolerance(tmp_path, parts, pieces):
    settings = CALM | {"train.precision": "bfloat16", "train.grad_accum_steps": pieces, "train.ema_decay": 0.9}
    compiled = Training(on_cuda(tmp_path, **settings, **{"train.compile": True}), parts, tmp_path / "a").run()
    plain = Training(on_cuda(tmp_path, **settings), parts, tmp_path / "b").run()
    for one, other in zip(compiled.progress.history, plain.progress.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=0.02)
    assert compiled.progress.best_weights.keys() == plain.progress.best_weights.keys()


@pytest.mark.slow
def test_a_compiled_training_goes_on_to_the_very_same_end(tmp_path):
    changes = {"train.device": "cuda", "train.precision": "bfloat16", "train.compile": True, "train.epochs": 3}
    changes |= {"model.drop_path_rate": 0.0}
    whole = digest(tmp_path / "whole", changes)
    assert digest(tmp_path / "killed", changes, killed_at=7) == ""
    assert digest(tmp_path / "killed", changes) == whole != ""
