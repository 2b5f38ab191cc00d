import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch

from tests.data.shards.common import files_of, repack, streamed
from tests.data.test_decoded import assert_equal_batches
from tests.data.test_pack import pack_params
from vit.data.shards.layout import layout_of, storage_order
from vit.errors import UserError
from vit.files import read_json


def test_shards_hold_the_images_and_labels_of_the_arrays_as_plain_tar_files(drawn):
    folder, arrays = drawn
    found = {}
    for entry in read_json(folder / "shards/train_shards.json")["shards"]:
        file = folder / "shards/shards" / entry["name"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == entry["sha256"]
        assert file.stat().st_size == entry["bytes"]
        with tarfile.open(file) as tar:
            for member in tar:
                name, kind = member.name.split(".")
                content = tar.extractfile(member).read()
                found[int(name), kind] = np.load(io.BytesIO(content)) if kind == "npy" else int(content)
    assert len(found) == 202
    for row in range(101):
        assert np.array_equal(found[row, "npy"], arrays.images[row].numpy())
        assert found[row, "cls"] == arrays.labels[row]


@pytest.mark.parametrize("workers", [1, 2])
def test_packing_again_gives_the_same_bytes_and_restores_a_shard_that_was_deleted(folder, workers):
    before = files_of(folder / "shards")
    next((folder / "shards/shards").glob("train-000002-*.tar")).unlink()
    repack(folder, workers=workers)
    assert files_of(folder / "shards") == before


@pytest.mark.parametrize("cached", [None, 2, 3, 5])
def test_any_batches_equal_those_of_the_arrays_with_any_cache(drawn, cached):
    folder, arrays = drawn
    part = streamed(folder, cached)
    assert len(part) == len(arrays) and torch.equal(part.labels, arrays.labels)
    generator = torch.Generator().manual_seed(3)
    orders = [
        [*torch.randperm(101, generator=generator).split(size), torch.tensor([], dtype=torch.int64)]
        for size in (1, 7, 64)
    ]
    for order, then in zip(orders, [*orders[1:], []], strict=True):
        assert_equal_batches(part.batches(order, then), arrays.batches(order))
        assert len(part.cache.held) <= part.capacity
    next(part.batches(orders[0]))  # left early
    assert_equal_batches(part.in_order(4), arrays.in_order(4))
    assert torch.equal(part.pick([70, 3, 71]), arrays.images[[70, 3, 71]])


def test_a_cache_that_holds_everything_shuffles_as_the_arrays_do_and_a_smaller_one_otherwise(drawn):
    folder, _ = drawn
    orders = [streamed(folder, cached).shuffled(7, epoch=2, batch_size=8).tolist() for cached in (None, 12, 11)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == list(range(101)) for order in orders)


@pytest.mark.parametrize("harm", ["missing", "shorter", "changed"])
def test_a_shard_that_is_not_what_was_packed_is_named_with_the_way_out(folder, harm):
    file = next((folder / "shards/shards").glob("train-000003-*.tar"))
    content = file.read_bytes()
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(
            content[:-1] if harm == "shorter" else content[:900] + bytes([content[900] ^ 1]) + content[901:]
        )
    with pytest.raises(UserError, match=rf"{file.name} .*`dvc repro --force --single-item pack`") as caught:
        list(streamed(folder).in_order(4))
    assert "\n" not in str(caught.value)


def test_a_cache_for_less_than_two_shards_is_refused(drawn):
    folder, _ = drawn
    with pytest.raises(UserError, match=r"train\.cache_gb is too small.*2 shards of 0\.0205 MB"):
        streamed(folder, cached=1)


def test_how_well_a_cache_mixes_is_said(drawn):
    folder, _ = drawn
    assert streamed(folder, 12).mixing(8) == "the cache holds all 12 shards; shuffled as a whole"
    # 12 (1 - (11/12)^8) = 6.02
    assert "drawn from 6 at a time, and holds images of about 6, in a full shuffle of 6" in streamed(folder, 8).mixing(
        8
    )
    assert streamed(folder, 4).mixing(8).endswith("to mix better, make train.cache_gb larger or pack.shard_mb smaller")


@pytest.mark.parametrize("store", ["s3://key:secret@bucket/x", "s3://bucket", "gs://bucket/x", "s3://bucket/x?a=b"])
def test_a_store_is_a_folder_or_a_bucket_without_credentials(tmp_path, store):
    with pytest.raises(UserError, match=r"pack\.store"):
        pack_params(tmp_path, mode="shards", store=store)


def test_a_store_without_shards_is_refused(tmp_path):
    with pytest.raises(UserError, match="store elsewhere is only for mode shards"):
        pack_params(tmp_path, mode="arrays", store="elsewhere")


def test_every_image_lies_where_the_layout_says():
    layout = layout_of((1000, 20, 30, 3), shard_mb=0.1)
    stream = io.BytesIO()
    draws = np.random.default_rng(0)
    images = draws.integers(256, size=(layout.images, 20, 30, 3), dtype=np.uint8)
    layout.write(stream, [(number, image, 12345) for number, image in enumerate(images)])
    content = stream.getvalue()
    assert len(content) == layout.largest <= 100_000 < layout.largest + layout.stride + tarfile.RECORDSIZE
    for number, image in enumerate(images):
        start = layout.first + number * layout.stride
        assert content[start : start + image.nbytes] == image.tobytes()


def test_train_is_shuffled_in_storage_and_the_others_are_not():
    assert storage_order(1000, "val").tolist() == list(range(1000))
    assert storage_order(6, "train").tolist() == [5, 2, 1, 3, 0, 4]  # NumPy's legacy generator never changes
