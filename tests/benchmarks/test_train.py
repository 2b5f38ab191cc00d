import dataclasses
import json
import sys

import pytest
import torch

from benchmarks.contenders import PEERS, Case, missing_peers, ours, peer, preset_case
from benchmarks.rows import report, row
from benchmarks.train import Workload, cases, like_peers, main, measure
from benchmarks.work import peak_memory, step_gflop

BRIEF = Workload(rounds=1, seconds=0.0, products=((256,) * 3,), product_seconds=0.01)


@pytest.fixture(scope="module")
def case() -> Case:
    return like_peers(dataclasses.replace(preset_case("shapes"), batch_size=2))


def installed(name: str) -> str:
    if name in missing_peers():
        pytest.skip(f"{name} is not installed (requirements-bench.txt)")
    return name


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("autocast", [False, True])
def test_a_peer_has_as_many_parameters_as_ours_and_a_step_changes_all_of_them(case, name, autocast):
    contender = peer(case, installed(name), autocast)
    before = [parameter.clone() for parameter in contender.model.parameters()]
    assert sum(map(torch.numel, before)) == sum(map(torch.numel, ours(case).model.parameters()))
    for _ in range(2):  # torchvision's head starts at zero, so that the first step reaches nothing behind it
        contender.step()
    assert all(not torch.equal(*pair) for pair in zip(before, contender.model.parameters(), strict=True))


def test_ours_trains_with_the_deterministic_kernels_of_the_train_stage_and_a_peer_without(case):
    ours(case).milliseconds(1)
    assert torch.are_deterministic_algorithms_enabled()
    peer(case, "tutorial", autocast=False).milliseconds(1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_training_benchmark_still_works(case, tmp_path):
    rows = measure([(case, {"float32": 2.2, "bfloat16": 1.8})], ["shapes"], ["tutorial"], BRIEF)
    report(rows, tmp_path / "train.json")
    assert json.loads((tmp_path / "train.json").read_text()) == rows
    peak, float32, autocast, *auto = rows
    assert peak["unit"] == "GFLOP/s" and peak["ours"] > 0
    assert [compared["goal"] for compared in (float32, autocast)] == [2.2, 1.8]
    for compared in (float32, autocast):
        assert compared["ratio"] == pytest.approx(compared["peer"] / compared["ours"], rel=0.05)
        assert compared["ours_of_peak"] > 0 and compared["peer_of_peak"] > 0
        assert compared["ours_mib"] >= 0 and compared["peer_mib"] >= 0
    fastest = min(auto, key=lambda one: one["peer"])
    assert len(auto) == 4 and [one["goal"] for one in auto if one is not fastest] == [None] * 3
    assert fastest["goal"] == 0.9 and fastest["met"] == (fastest["peer"] / fastest["ours"] >= 0.9)


def test_a_time_is_better_when_it_is_less():
    assert row("case", ours=20.0, peer=50.0, peer_name="peer", unit="ms/step", goal=2.5)["ratio"] == 2.5
    assert row("case", ours=50.0, peer=20.0, peer_name="peer", unit="GFLOP/s", goal=2.6)["met"] is False


def test_the_operations_of_a_step_are_those_of_its_matrix_products(case):
    dim, tokens, blocks, patch, classes = 32, 17, 2, 2 * 2, 10
    block = tokens * 12 * dim**2 + 2 * tokens**2 * dim  # qkv, projection, MLP; then scores, and values weighed by them
    forward = (tokens - 1) * patch * dim + blocks * block + dim * classes  # multiplications with an addition, per image
    # Backward takes twice as many, but for the gradient of the images, which nobody asks for.
    total = 2 * 2 * (3 * forward - (tokens - 1) * patch * dim)
    assert step_gflop(case) * 1e9 == pytest.approx(total)


def test_peak_memory_counts_what_a_step_keeps(case):
    large = dataclasses.replace(case, batch_size=512, model=case.model.model_copy(update={"embed_dim": 128}))
    kept = 512 * 17 * 128 * 4 * 12 * 2 / 2**20  # MiB: at least 12 activations of the tokens' size in each of two blocks
    assert kept < peak_memory(large, None, steps=1) < 20 * kept


def test_goals_are_for_a_cpu_and_an_absent_device_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    assert [goals["float32"] for _, goals in cases("cpu")] == [2.2, 1.8, 1.2]
    assert {case.train.device for case, _ in cases("cpu")} == {"cpu"}
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    monkeypatch.setattr(sys, "argv", ["train.py", "--out", str(tmp_path / "train.json"), "--device", "cuda"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "device 'cuda' is not available on this machine" in capsys.readouterr().err.splitlines()[-1]


def test_without_its_peers_the_benchmark_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr(sys, "argv", ["train.py", "--out", str(tmp_path / "train.json")])
    with pytest.raises(SystemExit, match="2"):
        main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert "timm" in last and "`pip install -r requirements-bench.txt`" in last
    assert not (tmp_path / "train.json").exists()
