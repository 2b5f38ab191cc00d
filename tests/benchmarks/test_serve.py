import json
from importlib.util import find_spec

import pytest

from benchmarks.bare import bare_rows
from benchmarks.load import Target, Timings, drive, percentiles
from benchmarks.serve import FASTAPI, LITSERVE, OURS, UNBATCHED, Workload, load_rows, report, serving_rows
from benchmarks.serve_table import tables
from tests.local_server import Answer, serving

PEERS = (FASTAPI, LITSERVE) if find_spec("litserve") else (FASTAPI,)  # the other one is in requirements-bench.txt
TINY = Workload(
    seconds=0.2, trial=0.1, settings=(1,), peers=PEERS, loads=((1, 1), (8, 2)), rounds=1, passes=1, size=(48, 80)
)


def test_the_serving_benchmark_still_works_and_every_request_is_answered(tmp_path):
    report([*serving_rows(TINY), *bare_rows(TINY.passes, TINY.rounds)], tmp_path / "serve.json")
    rows = json.loads((tmp_path / "serve.json").read_text())
    loads, parts = (table.splitlines() for table in tables(rows).split("\n\n"))
    assert (len(loads), len(parts)) == (2 + 2 * (2 + len(PEERS)), 2 + 7)
    assert len(rows) == 1 + 2 * (2 + 3 * (1 + len(PEERS))) + 8 + 4 + 2
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows if "where the time goes" not in row["case"])
    answered = [row for row in rows if row["case"].endswith("answered")]
    assert len(answered) == 2 and all(row["ours"] == row["peer"] == 100 and row["met"] for row in answered)
    assert [row["goal"] for row in rows if row["peer_name"] == "in process"] == [None, None]
    spent = [row for row in rows if row["case"].startswith("where the time goes")]
    assert len(spent) == 7 and sum(row["ours"] for row in spent) == pytest.approx(spent[0]["peer"], abs=0.1)
    assert all(row["met"] for row in rows if "largest difference" in row["case"])


def test_clients_count_what_was_answered_and_what_was_not():
    seen = []

    def answer(path: str, body: bytes) -> Answer:
        seen.append(body)
        return Answer(200 if body == b"good" else 500, b"{}")

    with serving(answer) as address:
        port = int(address.rpartition(":")[2])
        timings = drive(Target(port, "/", [b"good", b"bad"], rows=3), clients=2, seconds=0.3)
    assert timings.answered == pytest.approx(0.5, abs=0.1)
    assert 0 < timings.p50 <= timings.p95 <= timings.p99
    assert timings.throughput <= 3 * seen.count(b"good") / 0.3


def test_latencies_are_better_when_smaller_and_throughput_when_larger():
    seen = {OURS: Timings(90, 10, 20, 30, 1.0), UNBATCHED: Timings(45, 20, 20, 60, 1.0)}
    seen |= {FASTAPI: Timings(180, 5, 20, 15, 1.0), LITSERVE: Timings(90, 10, 20, 30, 1.0)}
    rows = load_rows("case", 8, 1, seen, alone=100)
    assert rows[1]["goal"] == 0.85
    assert [row["ratio"] for row in rows] == [1, 0.9, 2, 2, 2, 0.5, 0.5, 0.5, 1, 1, 1]
    assert [row["met"] for row in rows] == [True, True, True, None, None, False, None, False, True, None, True]


def test_percentiles_are_those_of_the_definition():
    assert percentiles([float(number) for number in range(101)]) == (50, 95, 99)
    assert percentiles([7.0]) == (7, 7, 7)
