"""Training from shards: as from arrays, and resumed in the middle of an epoch."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.shapes import Training, shapes, untrained
from tests.training.common import params_for, same
from vit.data.batches import Packed
from vit.data.shards.layout import layout_of, storage_order
from vit.data.shards.store import Folder
from vit.data.shards.streamed import Streamed
from vit.data.shards.writing import jobs_of, write_shards
from vit.errors import Interrupted

pytestmark = pytest.mark.long


def sharded(folder: Path, arrays: Packed, cached: int) -> Streamed:
    """The images of `arrays` in shards of four, with a cache for `cached` of them."""
    layout = layout_of(tuple(arrays.images.shape), shard_mb=0.0205)
    order, labels = storage_order(len(arrays), "train"), arrays.labels.numpy()
    paths = [Path(str(row)) for row in range(len(arrays))]
    folder.mkdir()
    store = Folder(folder / "shards")
    load = partial(lambda path: arrays.images[int(path.name)].numpy())
    write_shards(jobs_of(paths, labels, order, layout), layout, "train", load, store, folder, 1).write(
        folder / "train_shards.json"
    )
    for name, values in (("order", order), ("labels", labels)):
        np.save(folder / f"train_{name}.npy", values)
    return Streamed.load(folder, "train", store, cached * layout.largest, 1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> tuple[Packed, Packed]:
    folder = tmp_path_factory.mktemp("shapes")
    return shapes(folder, 20), shapes(folder, 5, seed=1)


def test_a_training_from_shards_resumes_in_the_middle_of_an_epoch_and_equals_that_from_arrays_if_they_fit(
    tmp_path, parts
):
    arrays, val = parts
    params = params_for(tmp_path, **{"train.checkpoint_steps": 1, "train.epochs": 2, "train.batch_size": 8})

    def training(part: Packed | Streamed, name: str) -> Training:
        return Training(params, (part, val), tmp_path / name, untrained(params, arrays))

    expected = training(arrays, "arrays").run()
    everything = sharded(tmp_path / "a", arrays, cached=1000)
    assert everything.index.layout.shards >= 8
    whole = training(everything, "everything").run()
    assert whole.progress.history == expected.progress.history
    assert same(whole.progress.best_weights, expected.progress.best_weights)

    few = training(sharded(tmp_path / "b", arrays, cached=4), "few").run()
    assert few.progress.history != expected.progress.history
    killed = training(sharded(tmp_path / "c", arrays, cached=4), "killed")

    def interrupt(module, arguments) -> None:
        if killed.progress.steps == 14:  # of twice 10
            raise Interrupted("stopped", 1)

    killed.classifier.model.register_forward_pre_hook(interrupt)
    with pytest.raises(Interrupted):
        killed.run()
    resumed = training(sharded(tmp_path / "d", arrays, cached=4), "killed")
    assert (resumed.progress.steps, len(resumed.progress.history)) == (14, 1)
    resumed.run()
    assert resumed.progress.history == few.progress.history
    assert same(resumed.progress.best_weights, few.progress.best_weights)
