"""Shards in a real S3 on this machine, also behind a slow link; skipped where there is none."""

import os
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
import torch

from benchmarks.shards import KEYS, bucket
from benchmarks.slow_link import slow_link
from tests.conftest import free_port
from tests.data.shards.common import arrays_and_shards, files_of, repack, streamed
from tests.data.test_decoded import assert_equal_batches
from vit.data.shards.store import Bucket

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(find_spec, ("boto3", "s3fs", "moto"))),
        reason="no S3: pip install -r requirements-remote.txt -r requirements-remote-test.txt -c constraints.txt",
    ),
]
STORE = "s3://shards/some/prefix"


@pytest.fixture(scope="module")
def link():
    """A link to an S3 with an empty bucket, fast until a test slows it down."""
    os.environ |= KEYS
    with bucket() as target, slow_link(target, bandwidth=1e9, delay=0.0) as link:
        os.environ["AWS_ENDPOINT_URL"] = link.url  # s3fs keeps its clients, and with them the first address
        yield link
        for name in (*KEYS, "AWS_ENDPOINT_URL"):
            del os.environ[name]


@pytest.fixture(scope="module")
def arrays(link, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bucket")
    return folder, arrays_and_shards(folder, 401, STORE)


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_shards_from_a_bucket_equal_the_arrays_within_the_bound_and_are_read_one_by_one(arrays, tmp_path):
    folder, expected = arrays
    part = streamed(folder, cached=6)
    assert part.store.is_remote and not list((folder / "shards").rglob("*.tar"))
    most = 0
    for epoch in range(2):
        order = part.shuffled(0, epoch, 16).split(16)
        ours, theirs = part.batches(order), expected.batches(order)
        for (images, labels), (expected_images, expected_labels) in zip(ours, theirs, strict=True):
            assert torch.equal(images, expected_images) and torch.equal(labels, expected_labels)
            names = {path.name.strip(".").split(".")[0] for path in (tmp_path / ".vit/shards").rglob("*.tar*")}
            most = max(most, len(names))
    assert 0 < most <= 6
    assert torch.equal(part.pick([400, 3]), expected.images[[400, 3]])


def test_packing_again_uploads_only_what_is_missing_and_leaves_the_same_index(arrays, link):
    folder, _ = arrays
    before = files_of(folder / "shards")
    store = Bucket(STORE)
    sizes, names = store.sizes(), sorted(store.sizes())
    store._files().rm(f"{STORE}/{names[3]}")
    assert len(store.sizes()) == len(sizes) - 1
    repack(folder, store=STORE, workers=2)
    assert store.sizes() == sizes and files_of(folder / "shards") == before


def test_a_slow_bucket_is_never_waited_for_once_the_cache_is_warm(arrays, link):
    folder, _ = arrays
    part = streamed(folder, cached=20)
    assert part.index.layout.shards == 45
    link.bandwidth, link.delay, link.transferred = 2e6, 0.05, 0
    try:
        pause = 0.0
        for epoch in range(4):
            order, then = (part.shuffled(0, number, 16).split(16) for number in (epoch, epoch + 1))
            waits, began = part.cache.waits, time.perf_counter()
            for images, _ in part.batches(order, then):
                assert len(images)
                time.sleep(pause)  # a training step
            if epoch > 1:  # the second one begins with what the first, at full speed, left it
                assert part.cache.waits == waits
            elif (
                epoch == 0
            ):  # as fast as the bucket allows; from now on slower, as this cache has room for only five ahead
                assert part.cache.waits > 0
                pause = 6 * (time.perf_counter() - began) / len(order)
    finally:
        link.bandwidth, link.delay = 1e9, 0.0
    assert link.transferred > 2 * part.index.layout.total() / 2  # the cache holds less than half


def test_a_server_that_does_not_answer_and_wrong_keys_end_in_one_line_without_a_secret(tmp_path):
    code = "from vit.errors import run_program\nfrom vit.data.shards.store import Bucket\n"
    code += f"run_program(Bucket('{STORE}').sizes)"
    secret = "wJalrXUtnFEMIK7MDENG"
    env = os.environ | {
        "AWS_ENDPOINT_URL": f"http://user:{secret}@127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_MAX_ATTEMPTS": "1",
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {STORE}: cannot list the shards (") and done.stderr.count("\n") == 1
    assert secret not in done.stdout + done.stderr and "AKIAIOSFODNN7" not in done.stdout + done.stderr


def test_batches_in_order_come_from_a_bucket_too(arrays):
    folder, expected = arrays
    assert_equal_batches(streamed(folder).in_order(64), expected.in_order(64))
