"""Curves and attention maps of a training that goes on, from its newest checkpoint."""

import os
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from tests.shapes import Training, shapes
from tests.training.common import params_for
from vit.data.batches import Packed
from vit.errors import UserError
from vit.evaluation.explain import SIDE, explanation_maps, overlay
from vit.files import write_json
from vit.tracking.progress import Seen, newest_checkpoint
from vit.tracking.watching import attention_sheets, curves, load_checkpoint

pytestmark = pytest.mark.long


def pack(folder: Path, val: Packed) -> None:
    """The val images as the stage pack leaves them."""
    packed = folder / "data/packed"
    packed.mkdir(parents=True)
    np.save(packed / "val_images.npy", val.images.numpy())
    np.save(packed / "val_labels.npy", val.labels.numpy())
    write_json(packed / "mode.json", {"mode": "arrays"})


def trained(folder: Path, **changes: object) -> tuple[Seen, Training]:
    """A training of two epochs that this process pretends to be still at."""
    params = params_for(folder, **{"train.epochs": 2, "train.warmup_epochs": 0.0} | changes)
    train, val = shapes(folder, 10, seed=0), shapes(folder, 4, seed=1)
    pack(folder, val)
    checkpoints = folder / "checkpoints" / "key"
    checkpoints.mkdir(parents=True)
    training = Training(params, (train, val), checkpoints).run()
    record = {"name": "a", "folder": str(folder), "config": training.classifier.config, "learning_rates": [0.2, 0.1]}
    started = psutil.Process().create_time()
    far = {"pid": os.getpid(), "process_started": started, "state": "running", "steps": 6, "at": time.time()}
    return Seen(checkpoints, record, far), training


def test_curves_are_the_history_with_the_pace_and_the_rate_of_each_epoch(tmp_path):
    seen, training = trained(tmp_path)
    rows = curves(seen)
    assert [
        {key: row[key] for key in history} for row, history in zip(rows, training.progress.history, strict=True)
    ] == (training.progress.history)
    assert [row["learning_rate"] for row in rows] == [0.2, 0.1]
    assert all(row["images_per_second"] > 0 for row in rows)


def test_without_a_checkpoint_or_with_one_that_was_just_removed_there_are_no_curves(tmp_path):
    assert curves(Seen(tmp_path, {}, {})) == [] and load_checkpoint(tmp_path / "step-000000001.pt") is None


@pytest.mark.parametrize("changes", [{}, {"model.pool": "avg"}, {"train.ema_decay": 0.9}])
def test_the_sheet_shows_the_maps_of_the_weights_that_val_evaluates(tmp_path, changes):
    seen, training = trained(tmp_path, **changes)
    sheets = attention_sheets(seen, tmp_path)
    assert list(sheets) == [2]
    sheet = np.asarray(Image.open(BytesIO(sheets[2].read_bytes())).convert("RGB"))
    classifier = training.classifier
    classifier.model = training.step.evaluated.eval()
    first = training.val_part.images[:1]  # of 16 images every second one
    (values,) = explanation_maps(classifier, first, classifier.logits(first).argmax(dim=1))
    expected = np.asarray(overlay(first[0].numpy(), values))
    assert np.abs(sheet[:SIDE, :SIDE].astype(int) - expected).max() <= 1
    assert not torch.equal(training.val_part.images[0], training.val_part.images[2])


def test_a_training_of_the_head_alone_says_why_it_has_no_sheets(tmp_path):
    seen, _ = trained(tmp_path)
    path = newest_checkpoint(seen)
    saved = torch.load(path, weights_only=True)
    model = saved["step"]["model"]
    saved["step"]["model"] = {name: weight for name, weight in model.items() if name.startswith("head.")}
    torch.save(saved, path)
    with pytest.raises(UserError, match="only the head is trained"):
        attention_sheets(seen, tmp_path)


def test_an_epoch_is_drawn_once_and_a_finished_training_not_any_more(tmp_path):
    seen, _ = trained(tmp_path)
    (path,) = attention_sheets(seen, tmp_path).values()
    before = path.stat().st_mtime_ns
    assert attention_sheets(seen, tmp_path) == {2: path} and path.stat().st_mtime_ns == before
    path.unlink()
    over = Seen(seen.folder, seen.record, seen.how_far | {"state": "finished"})
    assert attention_sheets(over, tmp_path) == {}


def test_a_model_without_attention_says_so(tmp_path):
    seen, _ = trained(tmp_path, **{"model.name": "cnn", "train.layer_decay": 1.0})
    with pytest.raises(UserError, match=r"model.name is cnn, which has no attention maps"):
        attention_sheets(seen, tmp_path)
