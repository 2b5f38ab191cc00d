"""All runs of the project, what differs between them, and the tables that they published."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow.entities import Run

from vit.errors import UserError
from vit.evaluation.comparison import RunComparison, comparison
from vit.registry.lookup import find_named_run, predictions_of, read_published_table
from vit.tracking.store import STORE_ERRORS, Store, first_line, open_store


@dataclass(frozen=True)
class RunSummary:
    """A run of MLflow: its parameters as text, its last metrics, and the numbers of the versions made from it."""

    id: str
    name: str
    status: str
    started: datetime
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    versions: tuple[int, ...]


def list_runs(name: str) -> list[RunSummary]:
    """All runs of the experiment, newest first, with their versions of the registered model `name`.

    Raises UserError if the store does not respond.
    """
    store = open_store()
    try:
        numbers: dict[str, list[int]] = {}
        for version in store.client.search_model_versions(f"name = '{name}'"):
            numbers.setdefault(version.run_id or "", []).append(int(version.version))
        return [_summary(run, sorted(numbers.get(run.info.run_id, []))) for run in _runs(store)]
    except STORE_ERRORS as error:
        raise UserError(f"the runs cannot be read: {first_line(error)}") from error


def _runs(store: Store) -> Iterable[Run]:
    token = None
    while token != "":
        page = store.client.search_runs(
            [store.experiment_id], order_by=["attributes.start_time DESC"], page_token=token
        )
        yield from page
        token = page.token or ""


def _summary(run: Run, versions: Sequence[int]) -> RunSummary:
    return RunSummary(
        id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        params=run.data.params,
        metrics=run.data.metrics,
        versions=tuple(versions),
    )


def differing_params(runs: Sequence[RunSummary]) -> dict[str, list[str | None]]:
    """The parameters that are not the same in all of these runs, each with its value per run; None where it lacks."""
    keys = sorted(set().union(*(run.params for run in runs)))
    values = {key: [run.params.get(key) for run in runs] for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def curve(run_id: str, metric: str) -> list[tuple[int, float]]:
    """The points (step, value) of a metric, by step; [] if the run has none. Raises UserError if there is no run."""
    try:
        points = open_store().client.get_metric_history(run_id, metric)
    except STORE_ERRORS as error:
        raise UserError(f"run '{run_id}' cannot be read: {first_line(error)}") from error
    return sorted({point.step: point.value for point in points}.items())


def table_of(run_id: str, path: str) -> list[dict[str, str]]:
    """The rows of a CSV that a run published, such as evaluation/slices.csv. Raises UserError if it has none."""
    return read_published_table(find_named_run(open_store(), run_id), path)


def compare_runs(
    references: tuple[str, str], confidence_level: float, seed: int
) -> tuple[list[Run], RunComparison, bool]:
    """The two runs, their comparison on the test images, and whether both were trained on the same data set.

    Raises UserError as `find_named_run`, or if their test images differ.
    """
    store = open_store()
    runs = [find_named_run(store, reference) for reference in references]
    table_a, table_b = (predictions_of(run) for run in runs)
    found = comparison(table_a, table_b, confidence_level, seed)
    inputs = [data for run in runs if run.inputs for data in run.inputs.dataset_inputs]
    return runs, found, len({data.dataset.digest for data in inputs}) < 2
