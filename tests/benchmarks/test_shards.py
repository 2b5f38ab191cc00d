from dataclasses import replace

from benchmarks.shards import Workload, local_rows, mixing_rows

SMALL = Workload(
    sizes=((8, 300),), shard_mb=0.05, batch_size=16, rounds=1, mixed=((2000, 10, 10),), trained=100, epochs=2
)


def test_the_benchmark_of_shards_still_works(tmp_path):
    rows = [*local_rows(SMALL, tmp_path), *mixing_rows(replace(SMALL, cached=0.2))]
    assert [row["unit"].split()[0] for row in rows] == ["samples/s"] * 2 + ["shards", "classes"] * 2
    assert all(row["ours"] > 0 for row in rows)
    assert all(row["met"] for row in rows[2:])
