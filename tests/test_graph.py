"""dvc.yaml as a graph."""

from tests.conftest import REPO
from vit.graph import Stage, stages, without_shortcuts


def test_the_arrows_of_the_pipeline_are_those_of_the_readme():
    found = stages(REPO)
    assert [stage.name for stage in found][:3] == ["download", "split", "pack"]
    assert ("split", "pack") in without_shortcuts(found) and ("download", "pack") not in without_shortcuts(found)
    # every stage but the first comes after another one
    assert {after for _, after in without_shortcuts(found)} == {stage.name for stage in found[1:]}


def test_an_output_may_be_written_with_options_and_a_dependency_may_come_from_outside(tmp_path):
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  a: {cmd: x, deps: [images], outs: [one], metrics: [{m.json: {cache: false}}]}\n"
        "  b: {cmd: x, desc: second, deps: [m.json, one]}\n"
    )
    assert stages(tmp_path) == [Stage("a", "", ()), Stage("b", "second", ("a",))]
