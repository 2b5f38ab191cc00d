"""dvc.yaml against the code: what a stage imports and reads is what DVC watches."""

import ast
import hashlib
from pathlib import Path
from typing import get_args

import pytest
from ruamel.yaml import YAML

from tests.conftest import REPO
from vit.config.schema import DataParams
from vit.data.sources.fetch import SOURCES
from vit.pipeline import EXEMPT, code_of, with_code_dependencies
from vit.source_code import imported_files, imported_names
from vit.tracking.content import STAGES_OF_A_TRAINING

STAGES = YAML(typ="safe", pure=True).load(REPO / "dvc.yaml")["stages"]


def imports(path: str, at_start_only: bool = False) -> set[str]:
    return imported_names(REPO / path, at_start_only)


def files_of(path: str) -> set[str]:
    return imported_files(REPO, path)


def everything() -> list[str]:
    return sorted(
        path.relative_to(REPO).as_posix() for folder in ("vit", "stages") for path in (REPO / folder).rglob("*.py")
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_that_it_imports_and_on_no_other(stage):
    assert {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")} == code_of(stage, REPO)


def test_make_deps_would_change_nothing():
    written = (REPO / "dvc.yaml").read_text(encoding="utf-8")
    assert with_code_dependencies(written, REPO) == written


def test_make_deps_adds_what_is_imported_and_drops_what_is_not(tmp_path):
    for name, text in {
        "stages/pack.py": "import numpy\nfrom vit.data import seen\n",
        "vit/data/seen.py": "def late():\n    from vit.config.schema import Params\n    import vit.deeper\n",
        "vit/deeper.py": "",
        "vit/config/schema.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    start, end = "stages:\n  pack:\n    deps:\n", "    outs: [y]\n\nplots: []\n"
    before = "".join(f"      - {dep}\n" for dep in ("${data.path}", "gone.py", "data"))
    after = before.replace("      - gone.py\n", "")
    after += "".join(f"      - {dep}\n" for dep in ("stages/pack.py", "vit/data/seen.py", "vit/deeper.py"))
    assert with_code_dependencies(start + before + end, tmp_path) == start + after + end


def test_dvc_watches_what_the_sources_say_and_every_source_can_be_named():
    watched = {path for source in SOURCES.values() for path in source.watched}
    assert {dep for dep in STAGES["download"]["deps"] if dep.startswith("$")} == watched
    assert set(get_args(DataParams.model_fields["source"].annotation)) == SOURCES.keys()


def test_the_key_of_a_training_covers_the_code_that_can_change_its_weights_and_no_drawing_or_downloading():
    code = {path for stage in STAGES_OF_A_TRAINING for path in code_of(stage, REPO)}
    for path in ("stages/train.py", "vit/training/loop.py", "vit/models/families.py", "vit/data/pack.py"):
        assert path in code
    assert not [path for path in code if path.startswith(("vit/data/sources/", "vit/data/audit/"))]
    imported = set().union(*(imports(path) for path in code))
    assert not {name.split(".")[0] for name in imported} & {"matplotlib", "kagglehub", "requests"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_params_block_that_it_reads_and_on_no_other(stage):
    if stage == "register":  # it publishes them all
        assert STAGES[stage]["params"] == list(YAML().load(REPO / "params.yaml"))
        return
    tree = ast.parse((REPO / f"stages/{stage}.py").read_text(encoding="utf-8"))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    assert {key.split(".")[0] for key in STAGES[stage]["params"]} == read


@pytest.mark.parametrize("stage", STAGES)
def test_stage_script_and_command_share_their_name(stage):
    launcher = "${train.launcher}" if stage == "train" else "python"
    assert STAGES[stage]["cmd"] == f"{launcher} -m stages.{stage}"


def test_packages_hold_no_code_of_their_own():
    assert [path for path in everything() if path.endswith("__init__.py") and (REPO / path).read_text().strip()] == []


def test_vit_knows_nothing_of_stages_or_dvc():
    for path in everything():
        if path.startswith("vit/"):
            assert not {name.split(".")[0] for name in imports(path)} & {"stages", "dvc"}, path


OLD_NAMES = {f"vit/{name}.py" for name in ("compare", "data_hunger", "export", "folds", "predict")} | {
    "vit/registry/__main__.py"
}
STARTED_BY_PYTHON = OLD_NAMES | {"vit/__main__.py"}


def test_only_what_python_starts_knows_the_command_line():
    for path in everything():
        if not path.startswith("vit/cli/") and path not in STARTED_BY_PYTHON:
            assert not {name for name in imports(path) if f"{name}.".startswith("vit.cli.")}, path


def test_the_library_holds_no_main_and_parses_no_arguments():
    for path in everything():
        if path.startswith("vit/") and not path.startswith("vit/cli/") and path not in STARTED_BY_PYTHON:
            tree = ast.parse((REPO / path).read_text(encoding="utf-8"))
            named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert "main" not in defined and ("__name__" not in named or path == "vit/pipeline.py"), path
            assert not {name.split(".")[0] for name in imports(path)} & {"argparse", "click"}, path


def test_a_command_is_a_file_and_the_only_main_is_that_of_the_program():
    for path in everything():
        if path.startswith("vit/cli/"):
            text = (REPO / path).read_text(encoding="utf-8")
            assert "__name__" not in text and ("def main(" in text) is (path == "vit/cli/main.py"), path


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("mlflow", ("vit/tracking/", "vit/registry/", "vit/serving/", "vit/monitoring/")),
        ("kagglehub", ("vit/data/sources/kaggle.py",)),
        ("datasets", ("vit/data/sources/huggingface.py",)),
        ("huggingface_hub", ("vit/data/sources/huggingface.py", "vit/training/hub_weights.py")),
        ("cleanlab", ("vit/evaluation/suspects.py",)),
        ("transformers", ("vit/training/text_tower.py",)),
    ],
)
def test_only_the_named_modules_import(library, allowed):
    importers = {path for path in everything() if library in {name.split(".")[0] for name in imports(path)}}
    assert {path for path in importers if not path.startswith(allowed)} == set()


@pytest.mark.parametrize("stage", ["download", "split", "pack", "weights"])
def test_images_are_pillow_and_numpy_until_training(stage):
    waiting, everything_imported = [f"stages/{stage}.py"], set()
    while waiting:
        new = imports(waiting.pop(), at_start_only=True) - everything_imported
        everything_imported |= new
        files = {f"{name.replace('.', '/')}.py" for name in new if name.startswith("vit.")} & set(everything())
        waiting += [path for path in files if not path.startswith(EXEMPT)]
    assert "numpy" in everything_imported
    assert not {name.split(".")[0] for name in everything_imported} & {"torch", "torchvision", "mlflow", "matplotlib"}


def test_a_figure_that_is_drawn_otherwise_trains_nothing_again():
    code = code_of("train", REPO)
    assert not {path for path in code if path.startswith("vit/evaluation/")}
    assert "matplotlib" not in {name.split(".")[0] for path in code for name in imports(path)}


def test_the_model_imports_torch_alone_and_its_own_parts():
    parts = {"vit.models.mlps", "vit.models.pooling", "vit.models.residual"}
    for path in ("vision_transformer", "mlps", "pooling", "residual"):
        others = {name for name in imports(f"vit/models/{path}.py") if not name.startswith(tuple(parts))}
        assert {name.split(".")[0] for name in others} <= {"torch", "functools", "collections"}, path


# Each room knows those above it, and of its own line only itself.
ROOMS = (
    ("files", "quantities", "redaction"),
    ("errors", "release", "source_code"),
    ("background",),
    ("dvc", "exposure", "next_step"),
    ("config",),
    ("graph",),
    ("data", "models"),
    ("inference",),
    ("training", "evaluation"),
    ("tracking", "checks"),
    ("serving",),
    ("registry",),
    ("monitoring",),
    ("pipeline", "cli"),
)


def test_arrows_between_rooms_point_one_way():
    rank = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}

    def room_of(path: str) -> str:
        return path.split("/")[1].removesuffix(".py")

    for path in everything():
        if path.startswith("vit/") and path not in STARTED_BY_PYTHON and room_of(path) != "__init__":
            for known in files_of(path):
                assert room_of(known) == room_of(path) or rank[room_of(known)] < rank[room_of(path)], (path, known)


def test_imports_go_in_no_circle():
    waiting = {path: files_of(path) - {path} for path in everything()}
    while free := [path for path, needs in waiting.items() if not needs & waiting.keys()]:
        for path in free:
            del waiting[path]
    assert waiting == {}


def test_the_committed_lock_belongs_to_the_committed_code():
    locked = YAML(typ="safe", pure=True).load(REPO / "dvc.lock")["stages"]
    assert list(locked) == list(STAGES)
    for stage in locked.values():
        for entry in stage["deps"]:
            path = REPO / entry["path"]
            if path.suffix == ".py":
                assert entry["md5"] == hashlib.md5(path.read_bytes()).hexdigest(), entry["path"]
            assert not Path(entry["path"]).is_absolute()
