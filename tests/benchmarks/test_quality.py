import json

import pytest

from benchmarks.quality import Bench, Workload, digits, folds, long, main
from benchmarks.quality_rows import all_rows
from benchmarks.scratch import Scratch, identity
from benchmarks.throughput import Probe
from tests.conftest import Project, clone
from tests.data.findings import draw_video
from vit.errors import UserError
from vit.files import read_json, read_table

KIND = {"code": "c", "machine": "m", "device": "auto", "budget": 180}
TRAINED = {"preset": "p", "epochs": 7, "seconds": 100.0, "accuracy_low": 0.4, "accuracy_high": 0.6}


def fold(model: str, number: int, groups: dict, nearest: dict | None = None, **changes) -> dict:
    settings = {"split.fold": number}
    record = KIND | TRAINED | {"case": "folds", "model": model, "settings": settings, "groups": groups}
    return record | ({"nearest_groups": nearest} if nearest else {}) | changes


def blocks(*right: int) -> dict[str, list[int]]:
    """Blocks of ten images."""
    return {f"frame {index}": [count, 10] for index, count in enumerate(right)}


def test_folds_are_pooled_and_paired_by_block():
    records = [
        *(fold("vit", number, blocks(8, 9, 8, 9), blocks(2, 3, 2, 3)) for number in (0, 1)),
        *(fold("cnn", number, blocks(6, 7, 6, 7), epochs=5) for number in (0, 1)),
        fold("torchvision/resnet18", 0, blocks(9, 8, 9, 8)),
    ]
    cnn, resnet, nearest = all_rows(records, 2)
    assert [row["peer_name"] for row in (cnn, resnet, nearest)] == [
        "cnn",
        "torchvision/resnet18",
        "1-nearest neighbour",
    ]
    assert (cnn["ours"], cnn["peer"], cnn["difference"], cnn["images"], cnn["blocks"]) == (85, 65, 20, 80, 8)
    assert (cnn["verdict"], cnn["met"], cnn["folds"]) == ("better", True, "2 of 2")
    assert (cnn["low"], cnn["high"]) == (20, 20)  # every block has two more
    assert (cnn["epochs"], cnn["peer_epochs"], cnn["peer_seconds"]) == (7, 5, 100)
    assert (resnet["folds"], resnet["met"], resnet["verdict"]) == ("1 of 2", None, "inconclusive")
    assert (nearest["peer"], nearest["verdict"]) == (25, "better") and "peer_epochs" not in nearest


def test_what_does_not_belong_together_is_not_pooled():
    old = fold("cnn", 1, blocks(1, 1), code="older")
    quick = fold("cnn", 1, blocks(1, 1), budget=10)
    records = [old, quick, fold("vit", 0, blocks(8, 9), blocks(2, 3)), fold("cnn", 0, blocks(6, 7))]
    rows = all_rows(records, 5)
    assert [(row["peer_name"], row["folds"], row["code"]) for row in rows] == [
        ("cnn", "1 of 5", "c"),
        ("1-nearest neighbour", "1 of 5", "c"),
    ]
    with pytest.raises(UserError, match="vit and cnn were not judged on the same images"):
        all_rows([fold("vit", 0, blocks(8, 9), blocks(2, 3)), fold("cnn", 0, blocks(6, 7, 8))], 5)


def test_digits_must_reach_the_mean_the_svc_and_the_time():
    records = [
        KIND | TRAINED | {"case": "digits", "settings": {"train.seed": seed}, "accuracy": accuracy, "svc": 0.99}
        for seed, accuracy in enumerate((0.990, 0.992, 0.994))
    ]
    *seeds, reached, svc, seconds = all_rows(records, 5)
    assert [row["ours"] for row in seeds] == [99.0, 99.2, 99.4] and all(row["met"] is None for row in seeds)
    assert (reached["ours"], reached["peer"], reached["met"]) == (99.2, 99.1, True)
    assert (svc["peer"], svc["met"]) == (99.0, True)
    assert (seconds["ours"], seconds["peer"], seconds["met"]) == (100, 60, False)


def test_the_article_is_beaten_or_missed_on_test():
    record = KIND | TRAINED | {"case": "random", "settings": {}, "accuracy": 0.88}
    (row,) = all_rows([record], 5)
    assert (row["ours"], row["peer"], row["met"], row["low"], row["high"]) == (88.0, 88.54, False, 40.0, 60.0)


def test_without_frames_the_benchmark_says_what_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))  # where the log goes
    monkeypatch.setattr("sys.argv", ["quality", "--out", str(tmp_path / "quality.json"), "--frames", "nowhere"])
    with pytest.raises(UserError, match=r"--frames nowhere: no folder; .* or choose --cases digits"):
        main()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def repo(tmp_path_factory) -> Project:
    return clone(tmp_path_factory.mktemp("quality") / "repo")


def bench(repo: Project, folder, **load) -> Bench:
    return Bench(
        scratch=Scratch.of(repo.folder, folder / "work"),
        load=Workload(digits="shapes", probe=Probe(rounds=1, steps=2), **load),
        device="cpu",
        frames=folder / "frames",
        out=folder / "quality.json",
        belongs=identity(repo.folder) | {"device": "cpu"},
    )


@pytest.mark.slow
def test_the_quality_benchmark_still_works_and_repeats_nothing(repo, tmp_path, capsys):
    once = bench(repo, tmp_path, seeds=(0,))
    digits(once)
    rows = read_json(tmp_path / "quality.json")
    assert [row["case"] for row in rows] == ["digits, seed 0", *["digits, mean of 1 seeds"] * 2, "digits, training"]
    metrics = json.loads((tmp_path / "work/metrics/test.json").read_text())
    assert rows[0]["ours"] == round(100 * metrics["test_accuracy"], 2)
    assert rows[0]["peer"] == round(100 * metrics["svc_accuracy"], 2)
    assert (rows[0]["epochs"], rows[-1]["ours"] > 0) == (8, True)
    # Both the ViT's and the neighbour's answers, group by group, come to the accuracies that the pipeline wrote.
    for counted, share in (
        (once.scratch.by_group(), metrics["test_accuracy"]),
        (
            once.scratch.nearest_by_group(),
            read_json(tmp_path / "work/metrics/split.json")["nearest_neighbour_accuracy"],
        ),
    ):
        right, images = (sum(column) for column in zip(*counted.values(), strict=True))
        assert images == len(read_table(tmp_path / "work/evaluation/predictions.csv"))
        assert right / images == pytest.approx(share)

    again = bench(repo, tmp_path, seeds=(0,))
    digits(again)
    assert capsys.readouterr().out.count("digits: vit") == 1 and again.rows() == rows


def test_what_is_not_committed_is_not_measured(repo):
    before = identity(repo.folder)
    changed = (repo.folder / "presets/shapes.yaml").read_text() + "split:\n  seed: 3\n"
    (repo.folder / "presets/shapes.yaml").write_text(changed)
    with pytest.raises(UserError, match=r"presets/shapes\.yaml is not; commit it"):
        identity(repo.folder)
    repo.run("git checkout -q presets")
    assert identity(repo.folder) == before


@pytest.mark.slow
def test_every_model_trains_on_every_fold_for_the_epochs_that_its_throughput_allows(repo, tmp_path):
    draw_video(tmp_path / "frames", 60, ("tom", "jerry"), seed=1)
    drawn = (
        repo.folder / "presets/shapes.yaml"
    ).read_text() + "split:\n  strategy: blocks\n  block_size: 30\n  gap: 2\n"
    (repo.folder / "presets/drawn.yaml").write_text(drawn)
    repo.run("git add -A && git commit -qm drawn")
    once = bench(repo, tmp_path, frames="drawn", folds=2, models=("vit", "cnn"), seconds=2, long_seconds=3)
    folds(once)
    long(once)
    (probe,) = [record for record in once.records if record["case"] == "probe"]
    trained = [record for record in once.records if record["case"] == "folds"]
    assert [(record["model"], record["settings"]["split.fold"]) for record in trained] == [
        ("vit", 0), ("cnn", 0), ("vit", 1), ("cnn", 1),
    ]  # fmt: skip
    for record in trained:
        assert record["epochs"] == max(1, int(2 / probe["seconds_per_epoch"][record["model"]]))
    rows = once.rows()
    assert [(row["peer_name"], row["folds"]) for row in rows] == [
        ("cnn", "2 of 2"), ("1-nearest neighbour", "2 of 2"), ("cnn", "1 of 1"), ("1-nearest neighbour", "1 of 1"),
    ]  # fmt: skip
    assert str(tmp_path) not in (tmp_path / "quality_runs.json").read_text()  # no path of this machine
