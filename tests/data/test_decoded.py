import os
import signal

import numpy as np
import psutil
import pytest
import torch

from tests.data.test_pack import CLASSES, drawn_rows
from tests.presets import preset
from tests.shapes import Training, untrained
from vit.config.schema import Params
from vit.data.batches import Packed
from vit.data.decoded import Decoded, load_part
from vit.data.images import SETTINGS
from vit.data.pack import measure_files, pack_images, pack_labels
from vit.errors import UserError
from vit.files import write_json, write_table

pytestmark = pytest.mark.long

MODES = [("arrays", 1), ("none", 1), ("none", 2)]


@pytest.fixture
def raw(tmp_path):
    """Drawn images, and a table of 21 of them for train, 10 for val."""
    rows = drawn_rows(tmp_path / "raw", 31)
    for part, members in (("train", rows[:21]), ("val", rows[21:])):
        write_table(tmp_path / "splits" / f"{part}.csv", [row._asdict() for row in members])
    return tmp_path / "raw"


def params_for(tmp_path, mode: str, workers: int, **changes) -> Params:
    return preset(tmp_path, "shapes", {"pack.mode": mode, "pack.workers": workers, **changes})


def part_of(tmp_path, params: Params, part: str) -> Packed | Decoded:
    """What training reads after packing with `params`; written as stages/pack.py does."""
    pack, mode = params.pack, params.pack.mode
    packed, raw, table = tmp_path / f"packed_{mode}", tmp_path / "raw", tmp_path / "splits" / f"{part}.csv"
    pack_labels(table, CLASSES, packed / f"{part}_labels.npy")
    if mode == "arrays":
        pack_images(raw, table, pack, part, packed / f"{part}_images.npy")
    statistics = measure_files(raw, tmp_path / "splits" / "train.csv", pack)
    settings = pack.model_dump(include=set(SETTINGS))
    write_json(packed / "preprocessing.json", {"classes": CLASSES, **settings, **statistics})
    write_json(packed / "mode.json", {"mode": mode, "workers": pack.workers})
    return load_part(packed, part, raw, tmp_path / "splits")


def assert_equal_batches(ours, expected):
    for (images, labels), (expected_images, expected_labels) in zip(ours, expected, strict=True):
        assert images.dtype == torch.uint8 and torch.equal(images, expected_images)
        assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_both_modes_give_the_same_batches(tmp_path, raw, workers):
    changes = {"pack.margin": 0.25, "pack.trim_bars": True, "pack.channels": 3}
    for part, side in (("train", 10), ("val", 8)):
        packed = part_of(tmp_path, params_for(tmp_path, "arrays", 1, **changes), part)
        decoded = part_of(tmp_path, params_for(tmp_path, "none", 1, **changes), part)
        assert isinstance(packed, Packed) and isinstance(decoded, Decoded)
        decoded = Decoded(decoded.paths, decoded.labels, decoded.settings, workers)
        assert packed.images.shape[1:] == (side, side, 3)
        assert len(packed) == len(decoded) and torch.equal(packed.labels, decoded.labels)
        assert_equal_batches(decoded.in_order(4), packed.in_order(4))
        torch.manual_seed(5)
        orders = [torch.randperm(len(packed)).split(4), [torch.tensor([3, 1]), torch.tensor([], dtype=torch.int64)]]
        state = torch.get_rng_state()
        for order in orders:
            assert_equal_batches(decoded.batches(order), packed.batches(order))
        assert torch.equal(torch.get_rng_state(), state)


def test_two_epochs_of_training_end_alike_in_both_modes_whatever_the_workers(tmp_path, raw):
    ends = []
    for mode, workers in [*MODES, ("none", 0)]:
        changes = {"model.embed_dim": 16, "model.drop_rate": 0.2, "train.epochs": 2, "train.warmup_epochs": 1}
        changes |= {"train.batch_size": 8, "train.device": "cpu", "train.augment.degrees": 10.0}
        params = params_for(tmp_path, mode, max(workers, 1), **changes)
        train, val = (part_of(tmp_path, params, part) for part in ("train", "val"))
        if mode == "none":
            train = Decoded(train.paths, train.labels, train.settings, workers)
        classifier = untrained(params, part_of(tmp_path, params_for(tmp_path, "arrays", 1, **changes), "train"))
        training = Training(params, (train, val), tmp_path / f"{mode}{workers}", classifier).run()
        ends.append((training.progress.history, training.classifier.model.state_dict()))
    for history, weights in ends[1:]:
        assert history == ends[0][0]
        assert all(torch.equal(weight, ends[0][1][name]) for name, weight in weights.items())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_became_unreadable_is_named_in_one_line(tmp_path, raw, workers):
    part = part_of(tmp_path, params_for(tmp_path, "none", 1), "train")
    part.paths[13].write_bytes(b"")
    part = Decoded(part.paths, part.labels, part.settings, workers)
    with pytest.raises(UserError) as caught:
        list(part.in_order(4))
    assert str(part.paths[13]) in str(caught.value) and "\n" not in str(caught.value)


def test_a_killed_worker_ends_the_epoch_with_what_to_do(tmp_path, raw):
    part = part_of(tmp_path, params_for(tmp_path, "none", 2), "train")
    part = Decoded(part.paths * 100, part.labels.repeat(100), part.settings, 2)
    before = set(psutil.Process().children())
    batches = part.in_order(1)
    next(batches)
    for worker in set(psutil.Process().children()) - before:
        os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"killed.*lower pack\.workers"):
        list(batches)


def test_an_epoch_that_is_left_early_leaves_no_process(tmp_path, raw):
    part = part_of(tmp_path, params_for(tmp_path, "none", 2), "train")
    before = set(psutil.Process().children())
    batches = part.in_order(1)
    next(batches)
    assert len(set(psutil.Process().children()) - before) == 2
    batches.close()
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize(("mode", "missing"), [("arrays", "train_images.npy"), ("none", "train_labels.npy")])
def test_a_missing_file_is_named_with_the_way_out(tmp_path, raw, mode, missing):
    part_of(tmp_path, params_for(tmp_path, mode, 1), "train")
    (tmp_path / f"packed_{mode}" / missing).unlink()
    with pytest.raises(UserError, match=rf"{missing} is missing; run `dvc repro`"):
        load_part(tmp_path / f"packed_{mode}", "train", raw, tmp_path / "splits")


def test_labels_are_the_places_of_the_classes(tmp_path, raw):
    part = part_of(tmp_path, params_for(tmp_path, "none", 1), "val")
    assert part.labels.tolist() == [CLASSES.index(path.parent.name) for path in part.paths]
    assert part.labels.dtype == torch.int64 and np.unique(part.labels).tolist() == [0, 1]
