from benchmarks.cost import PRESETS, Workload, cases_of, measure, parameters
from tests.conftest import REPO


def test_the_cost_benchmark_still_works():
    rows = measure(["shapes"], Workload(rounds=1, seconds=0.01))
    assert len(rows) == 4 * 2 and all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
    assert {row["peer_name"] for row in rows} == {"cnn", "torchvision/resnet18"}
    fewer = next(row for row in rows if row["case"] == "shapes, parameters")
    assert fewer["ours"] < fewer["peer"] and fewer["ratio"] > 1


def test_every_preset_is_measured_beside_models_for_its_images():
    fine_tuning = {"finetune_cpu", "finetune_gpu"}  # the model is that of the weights
    assert set(PRESETS) == {path.stem for path in (REPO / "presets").glob("*.yaml")} - fine_tuning
    cases = cases_of("tom_and_jerry")
    assert {case.image_size for case in cases.values()} == {(64, 88)}
    # torchvision's own 11.69 M have 1,000 classes: 513 numbers for each of 990 fewer.
    assert round(parameters(cases["torchvision/resnet18"]), 4) == round(11.689512 - 990 * 513e-6, 4)
