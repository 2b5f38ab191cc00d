import dataclasses

import pytest

from benchmarks.contenders import ALONE, preset_case
from benchmarks.distributed import measured_rows, timed
from benchmarks.network import Network, Training, all_reduce, paper_rows
from benchmarks.processes import ALL_REDUCE, PARALLEL, SEPARATE, measure
from benchmarks.train import like_peers

NETWORK = Network(gpus_per_node=8, within=300e9, between=25e9, latency=10e-6)


def test_the_benchmark_of_several_processes_still_works_with_one():
    times = measure(like_peers(dataclasses.replace(preset_case("shapes"), batch_size=2)), ALONE, 1, 0.0)
    assert list(times) == [SEPARATE] and times[SEPARATE] > 0


@pytest.mark.slow
def test_two_processes_are_measured_with_and_without_exchange():
    times = timed(processes=2, images=2, rounds=1, seconds=0.01)
    assert set(times) == {SEPARATE, *PARALLEL, ALL_REDUCE} and all(value > 0 for value in times.values())


def test_exchange_is_what_a_step_takes_longer_than_without_it():
    exchanged = {SEPARATE: 100, "ddp": 110, "fsdp": 150, ALL_REDUCE: 20}
    times = {(1, 32): {SEPARATE: 64}, (1, 128): {SEPARATE: 256}}
    times |= {(2, 32): exchanged, (4, 32): exchanged, (2, 64): exchanged}
    weak, exchange, throughput, *rest = measured_rows(times, cores=2)
    assert (weak["ours"], weak["peer"], weak["ratio"]) == (110, 100, 0.91)
    assert (exchange["ours"], exchange["peer"], exchange["ratio"]) == (10, 20, 2)
    assert throughput["peer"] == 1000 and throughput["ours"] == pytest.approx(2 * 32 / 0.11, abs=0.01)
    assert len(rest) == 2 * 2 * 2 * 3 - 3


def test_a_ring_sends_twice_the_bytes_but_a_share_and_a_tree_needs_fewer_messages():
    # 2 x 7/8 of 0.3 GB at 300 GB/s, and 14 messages of 10 microseconds.
    assert all_reduce(0.3, 8, NETWORK) == pytest.approx(1.75 + 0.14)
    # 1,022 messages around a ring would take 10 ms alone; the tree needs 18, and sends all bytes twice.
    assert all_reduce(0.025, 512, NETWORK) == pytest.approx(2 + 0.18)


def test_on_paper_a_step_waits_for_what_the_backward_pass_does_not_hide():
    # 62.5 million float32 are 0.25 GB: 20 ms at 25 GB/s through a tree of 4 levels, against 2 / 3 of 15 ms.
    (one,) = paper_rows([Training("a", step=15, images=10, parameters=62.5)], [16], Network(latency=0.0))
    ring = 2 * 15 / 16 * 10
    assert one["all_reduce_ms"] == pytest.approx(ring, abs=0.01) and one["ours"] == pytest.approx(15 + ring, abs=0.01)
    assert one["overlapped_ms"] == pytest.approx(15 + ring - 10, abs=0.01)
    assert (one["batch_size"], one["steps_per_epoch"]) == (160, 8007)
