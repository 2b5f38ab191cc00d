from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import benchmarks.few_labels as few_labels
from vit.files import read_json


@pytest.fixture
def images(tmp_path) -> Path:
    random = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2)):
        for number, name in enumerate(("bright", "dark")):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(128 * number, 128 + 128 * number, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{index}.png")
    return tmp_path


def test_the_benchmark_of_few_labels_still_works_and_goes_on_where_it_was_cut_off(images):
    threads = torch.get_num_threads()
    try:
        out = images / "out.json"
        rows = few_labels.measure(images, 0.2, [2], 1, out)
        assert [row["method"] for row in rows] == list(few_labels.METHODS) and read_json(out) == rows
        assert all(row["labelled_epochs"] >= 1 and row["test_images"] == 4 for row in rows)
        assert [row["pretraining_epochs"] > 0 for row in rows] == [False, False, True, True]
        assert few_labels.measure(images, 0.2, [2], 1, out) == rows
    finally:
        torch.set_num_threads(threads)


def test_pretraining_changes_the_encoder_and_leaves_the_head(images):
    pictures, _ = few_labels.load(images, "train", 6)
    for pretrain in (few_labels.masked_autoencoding, few_labels.self_distillation):
        model = few_labels.new("vit", 0)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        assert pretrain(model, pictures, 0.2, 0) >= 1
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert "blocks.0.attn.qkv.weight" in changed and "patch_embed.proj.weight" in changed
        assert not changed & {"head.weight", "head.bias"}


def test_the_labelled_images_are_of_every_class_and_differ_by_seed():
    labels = torch.arange(3).repeat_interleave(50)
    chosen = few_labels.few(labels, 4, 0)
    assert labels[chosen].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert not torch.equal(chosen, few_labels.few(labels, 4, 1))
