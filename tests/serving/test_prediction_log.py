"""What a server logs of its predictions, and that nothing that happens to the log reaches a request."""

import base64
import hashlib
import json
import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from mlflow import MlflowException

from tests.serving.conftest import LIMITS, new_classifier
from tests.serving.pictures import encoded, picture
from vit.inference.features import featurizer
from vit.inference.image_statistics import brightness, sharpness
from vit.monitoring.logged import dropped, read_log
from vit.serving import guard, prediction_log
from vit.serving.cores import Cores
from vit.serving.log_files import IMAGES
from vit.serving.prediction_log import PredictionLog
from vit.serving.settings import Logging, split_settings
from vit.serving.uploads import decode_uploads, read_uploads
from vit.serving.version import ServedVersion

FILES = [encoded(picture(seed, 30, 50 + seed)) for seed in range(4)]
TEXTS = [base64.b64encode(file).decode() for file in FILES]


@pytest.fixture(scope="module")
def version(tmp_path_factory) -> ServedVersion:
    classifier = new_classifier(tmp_path_factory.mktemp("logged"))
    return ServedVersion(classifier, LIMITS, Cores(), "7", with_features=True)


@pytest.fixture
def settings(tmp_path) -> Logging:
    return Logging(tmp_path / "log", seconds=0.1, days=30, image_days=0)


def answered(version: ServedVersion, log: PredictionLog, texts: list[str] = TEXTS) -> dict:
    """What a client reads of a request to the guarded server."""
    invocations = guard.guarded(lambda: version, json.loads, log)
    return invocations(json.dumps({"inputs": texts}).encode(), "application/json", None, None)


def wait_until(condition) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_log_has_a_row_per_image_with_the_features_of_its_own_forward_pass(version, settings):
    log = PredictionLog(settings)
    one, other = answered(version, log), answered(version, log, TEXTS[:1])
    log.close()
    rows = read_log(settings.folder).to_pylist()
    assert [(row["request_id"], row["row"]) for row in rows] == [
        *((one["request_id"], index) for index in range(4)),
        (other["request_id"], 0),
    ]
    assert [row["sha256"] for row in rows[:4]] == [hashlib.sha256(file).hexdigest() for file in FILES]
    assert [row["label"] for row in rows[:4]] == [prediction["label"] for prediction in one["predictions"]]
    confidences = [prediction["confidence"] for prediction in one["predictions"]]
    assert [row["confidence"] for row in rows[:4]] == pytest.approx(confidences)
    assert [(row["width"], row["height"]) for row in rows[:4]] == [(50 + seed, 30) for seed in range(4)]
    assert {row["version"] for row in rows} == {"7"} and all(0 < row["latency_ms"] < 10_000 for row in rows)
    images = decode_uploads(read_uploads(TEXTS, version.limits), version.classifier.config)
    features = featurizer(version.classifier).logits(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose([row["embedding"] for row in rows[:4]], features, atol=1e-5)
    np.testing.assert_allclose([row["sharpness"] for row in rows[:4]], sharpness(images), rtol=1e-5)


def test_a_server_that_does_not_log_answers_without_an_id_and_computes_no_features(version):
    plain = ServedVersion(version.classifier, LIMITS, Cores(), "7")
    answer = guard.guarded(lambda: plain, json.loads)(
        json.dumps({"inputs": TEXTS}).encode(), "application/json", None, None
    )
    assert answer.keys() == {"predictions"}
    assert plain.answer(TEXTS, {}).features.shape == (4, 0)
    assert split_settings({}).logging is None


def test_several_servers_share_a_folder(version, settings):
    logs = [PredictionLog(settings) for _ in range(3)]
    ids = [answered(version, log)["request_id"] for log in logs for _ in range(2)]
    for log in logs:
        log.close()
    assert len(list(settings.folder.glob("*.parquet"))) == 3
    assert set(read_log(settings.folder)["request_id"].to_pylist()) == set(ids)


def test_what_the_thread_cannot_keep_up_with_is_dropped_and_counted_in_the_next_file(
    version, settings, monkeypatch, caplog
):
    monkeypatch.setattr(prediction_log, "MOST_BYTES", 1)
    log = PredictionLog(settings)
    assert len(answered(version, log)["predictions"]) == 4
    log.close()
    assert (read_log(settings.folder).num_rows, dropped(settings.folder)) == (0, 4)
    assert caplog.text.count("predictions are dropped") == 1


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 1,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_serving_goes_on_and_says_so_once_and_what_fits_into_memory_is_written_later(
    version, settings, monkeypatch, caplog
):
    caplog.set_level(logging.WARNING, "vit.serving")
    monkeypatch.setattr(prediction_log, "MOST_ROWS", 8)
    log = PredictionLog(settings)
    with full_disk():
        first = answered(version, log)
        wait_until(lambda: "cannot be logged" in caplog.text)
        for _ in range(4):
            assert len(answered(version, log)["predictions"]) == 4
            time.sleep(2 * prediction_log.EVERY)  # each is another look of the thread, and another failure
    log.close()
    rows = read_log(settings.folder)
    assert rows["request_id"][0].as_py() == first["request_id"]
    assert (rows.num_rows, dropped(settings.folder)) == (8, 12)
    assert caplog.text.count("cannot be logged") == caplog.text.count("written again; it lacks 12 predictions") == 1
    assert not list(settings.folder.glob(".*.tmp"))


def test_a_folder_that_cannot_be_written_stops_the_server_at_its_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MlflowException, match=r"log_predictions is .*name a folder that can be written"):
        PredictionLog(Logging(tmp_path / "file" / "log", seconds=1, days=1, image_days=0))


def test_images_are_kept_once_if_asked_for_and_deleted_after_their_time(version, settings):
    kept = Logging(settings.folder, seconds=0.1, days=30, image_days=2)
    log = PredictionLog(kept)
    answered(version, log)
    answered(version, log)
    log.close()
    images = {file.name: file for file in (kept.folder / IMAGES).iterdir()}
    assert images.keys() == {f"{hashlib.sha256(file).hexdigest()}.png" for file in FILES}
    old, *others = images.values()
    assert old.read_bytes() in FILES
    os.utime(old, (0, time.time() - 3 * 86400))
    later = PredictionLog(kept)
    answered(version, later, [base64.b64encode(others[0].read_bytes()).decode()])
    later.close()
    assert set((kept.folder / IMAGES).iterdir()) == set(others)
    assert len(read_log(kept.folder)) == 9  # rows have a time of their own


def test_the_order_of_the_answers_stays_when_the_clock_is_set_back(version, settings, monkeypatch):
    log = PredictionLog(settings)
    now = time.time()
    ids = []
    for moment in (now, now - 3600, now - 3599):
        monkeypatch.setattr(prediction_log.time, "time", lambda moment=moment: moment)
        ids.append(answered(version, log, TEXTS[:1])["request_id"])
    monkeypatch.undo()
    log.close()
    assert read_log(settings.folder)["request_id"].to_pylist() == ids


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"log_predictions": True}, "log_predictions is True; it must be the name of a folder"),
        ({"log_predictions": ""}, "log_predictions is ''"),
        ({"log_seconds": 0}, "log_seconds is 0; it must be a number from 0.1"),
        ({"log_days": "30"}, "log_days is '30'"),
        ({"log_images_days": -1}, "log_images_days is -1"),
    ],
)
def test_bad_settings_of_the_log_are_named_when_the_server_starts(values, reason):
    with pytest.raises(MlflowException, match=reason):
        split_settings(values)


def test_blur_lowers_the_sharpness_and_darkness_the_brightness():
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    blurred = (images.astype(float) + np.roll(images, 1, axis=2) + np.roll(images, 1, axis=1)) / 3
    assert (sharpness(blurred.astype(np.uint8)) < 0.7 * sharpness(images)).all()
    np.testing.assert_allclose(brightness(images // 2), brightness(images) / 2, atol=0.01)
    assert brightness(np.full((1, 4, 4, 1), 255, np.uint8)) == 1 and sharpness(np.zeros((1, 2, 2, 1), np.uint8)) == 0
