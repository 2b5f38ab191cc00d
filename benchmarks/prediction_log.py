"""What logging predictions costs a server: throughput and latency with the log, beside the same server without it.

    python -m benchmarks.prediction_log --out benchmarks/prediction_log.json

The model, its images and its clients are those of benchmarks.serve. Both servers run all the time and are asked in
turn; each round asks the one that the last round asked second first.
"""

import argparse
import math
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Target, Timings, drive
from benchmarks.rows import report
from benchmarks.serve import LIMITS, jpegs, mlflow_server, new_classifier, requests
from vit.monitoring.logged import dropped, read_log
from vit.registry.served import save_served

GOAL = 0.97  # of the throughput without the log
OFF, ON = "without the log", "with the log"


@dataclass(frozen=True)
class Workload:
    seconds: float = 5  # of each load in a round
    rounds: int = 10
    loads: tuple[tuple[int, int], ...] = ((1, 1), (8, 1), (8, 16))  # clients, and images in a request
    size: tuple[int, int] = (480, 854)  # of a JPEG, height and width in pixels


def measure(load: Workload) -> list[dict]:
    """Rows of each load with the log beside without it, then how many predictions were logged and dropped."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, classifier, files = Path(temporary), new_classifier(), jpegs(16, load.size)
        classifier.save(folder / "weights", classifier.model.state_dict())
        save_served(folder / "vit", folder / "weights", LIMITS)
        log = folder / "log"
        off, on = mlflow_server(OFF, folder), mlflow_server(ON, folder, log_predictions=str(log))
        with off.started(folder) as (plain, _), on.started(folder) as (logging, _):
            rows = []
            for clients, count in load.loads:
                bodies = requests(files, "inputs", count)
                targets = [Target(port, off.path, bodies, count) for port in (plain, logging)]
                rows += rows_of(f"{clients} clients, {count} images a request", rounds(targets, clients, load))
        told = read_log(log).num_rows, dropped(log)  # all of it, as the server has ended
        rows.append({"case": "predictions in the log", "ours": told[0], "peer": told[1], "peer_name": "dropped"})
        return rows


def rounds(targets: list[Target], clients: int, load: Workload) -> list[tuple[Timings, Timings]]:
    """Both servers' timings, without the log and with it, by round."""
    found = []
    for number in range(load.rounds):
        order = [0, 1] if number % 2 == 0 else [1, 0]
        seen = {index: drive(targets[index], clients, load.seconds) for index in order}
        found.append((seen[0], seen[1]))
    return found


def rows_of(case: str, pairs: list[tuple[Timings, Timings]]) -> list[dict]:
    """Medians, and of the throughput the geometric mean of the ratios of a round with its standard error."""
    logs = [math.log(on.throughput / off.throughput) for off, on in pairs]
    ratio = math.exp(statistics.mean(logs))
    error = ratio * statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else None
    rows = []
    for name, unit in (("throughput", "images/s"), ("p50", "ms"), ("p99", "ms")):
        ours, peer = (statistics.median(getattr(pair[side], name) for pair in pairs) for side in (1, 0))
        one = {
            "case": f"{case}: {name}",
            "ours": round(ours, 2),
            "peer": round(peer, 2),
            "peer_name": OFF,
            "unit": unit,
        }
        if name == "throughput":
            one |= {"ratio": round(ratio, 3), "error": None if error is None else round(error, 3)}
            one |= {"goal": GOAL, "met": ratio >= GOAL}
        rows.append(one)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what logging predictions costs.")
    parser.add_argument("--out", type=Path, required=True, help="where to write the rows as JSON")
    parser.add_argument("--seconds", type=float, default=Workload.seconds, help="of each load in a round")
    parser.add_argument("--rounds", type=int, default=Workload.rounds, help="of both servers in turn")
    arguments = parser.parse_args()
    report(measure(Workload(seconds=arguments.seconds, rounds=arguments.rounds)), arguments.out)


if __name__ == "__main__":
    main()
