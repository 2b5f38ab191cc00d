import dataclasses
from functools import partial

import pytest
import torch
from torch import nn

from benchmarks.contenders import ours, preset_case
from benchmarks.floors import floor_rows
from benchmarks.operators import REST, Recorder, gflop, in_precision, record
from benchmarks.rows import report
from benchmarks.train import like_peers
from benchmarks.work import step_gflop


def test_every_product_and_every_byte_of_a_layer_and_its_gradient_is_counted():
    layer, x = nn.Sequential(nn.Linear(3, 5), nn.GELU()), torch.ones(2, 3)
    work = record(lambda: layer(x))
    assert work.products == {"linear layers": {(torch.float32, 1, 2, 3, 5): 1}}
    assert work.moved == {"GELU": [2 * 4 * 2 * 5]}  # read and written, 4 bytes each
    backward = record(lambda: layer(x).sum().backward()).products["linear layers"]
    assert backward == {(torch.float32, 1, 2, 3, 5): 1, (torch.float32, 1, 5, 2, 3): 1}
    assert gflop(backward) == pytest.approx(2 * 2 * 2 * 3 * 5 / 1e9)
    assert set(in_precision(backward, torch.bfloat16)) == {(torch.bfloat16, *shape) for _, *shape in backward}


def test_the_fused_attention_counts_as_its_two_products():
    q = torch.ones(2, 3, 7, 4)
    with torch.inference_mode():
        work = record(lambda: nn.functional.scaled_dot_product_attention(q, q, q))
    assert work.products == {"attention": {(torch.float32, 6, 7, 4, 7): 1, (torch.float32, 6, 7, 7, 4): 1}}


def test_a_product_without_a_floor_is_an_error():
    with Recorder(), pytest.raises(ValueError, match="no floor for aten::convolution"):
        nn.Conv2d(1, 1, 2)(torch.ones(1, 1, 4, 4))


def test_the_benchmark_of_floors_still_works_and_a_step_has_the_operations_that_pytorch_counts(tmp_path, capfd):
    case = like_peers(dataclasses.replace(preset_case("shapes"), batch_size=2))
    contender = ours(case, precision="float32", attention="math")
    contender.settle()
    products = record(contender.step).products
    assert sum(map(gflop, products.values())) == pytest.approx(step_gflop(case))
    rows = floor_rows("case", contender.step, "ms/step", 0.7, rounds=1, seconds=0.01)
    report(rows, tmp_path / "floors.json")
    whole, both, speed, *kinds = rows
    assert 0 < whole["peer"] <= both["peer"] and whole["goal"] == 0.7 and speed["unit"] == "TFLOP/s"
    assert {"case: attention", "case: clipping and optimizer", f"case: {REST}"} < {one["case"] for one in kinds}
    assert sum(one["share"] for one in kinds) == pytest.approx(1, abs=0.01)


def test_inference_that_is_recorded_in_inference_mode_has_the_same_products():
    model = nn.Linear(3, 5)
    run = partial(model, torch.ones(2, 7, 3))
    with torch.inference_mode():
        assert record(run).products == {"linear layers": {(torch.float32, 1, 14, 3, 5): 1}}
