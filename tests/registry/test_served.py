"""What makes a published model be written again: the code of serving and its settings, and nothing else."""

import shutil
from pathlib import Path

import pytest
from mlflow.models import Model

from tests.conftest import REPO
from vit.registry.publish import publish
from vit.registry.served import served_code, served_key
from vit.release import VERSION

pytestmark = pytest.mark.long

SETTINGS = {"max_rows": 7, "batch_wait_ms": 5.0, "precision": "float32"}


@pytest.fixture
def code(tmp_path) -> Path:
    """A copy of the package, below a root of its own."""
    shutil.copytree(REPO / "vit", tmp_path / "vit", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")


def test_the_key_is_the_same_wherever_the_code_lies(code):
    assert served_key(SETTINGS, code) == served_key(SETTINGS)


@pytest.mark.parametrize("file", ["registry/gate.py", "registry/served.py", "tracking/store.py", "data/split.py"])
def test_a_change_of_code_that_is_not_served_leaves_the_key(code, file):
    edit(code / "vit" / file)
    assert served_key(SETTINGS, code) == served_key(SETTINGS)


def test_a_new_version_of_the_project_leaves_the_key(code):
    release = code / "vit/release.py"
    release.write_text(release.read_text(encoding="utf-8").replace(VERSION, "99.0.0"), encoding="utf-8")
    assert served_key(SETTINGS, code) == served_key(SETTINGS)


@pytest.mark.parametrize(
    "file", ["serving/requests.py", "evaluation/explain.py", "models/stems.py", "data/__init__.py"]
)
def test_a_change_of_code_that_is_served_changes_the_key(code, file):
    edit(code / "vit" / file)
    assert served_key(SETTINGS, code) != served_key(SETTINGS)


def test_a_served_module_under_another_name_changes_the_key(code):
    (code / "vit/serving/cores.py").rename(code / "vit/serving/kernels.py")
    program = code / "vit/serving/pyfunc.py"
    program.write_text(program.read_text(encoding="utf-8").replace("vit.serving.cores", "vit.serving.kernels"))
    assert "vit/serving/kernels.py" in served_code(code)
    assert served_key(SETTINGS, code) != served_key(SETTINGS)


def test_another_setting_changes_the_key():
    assert served_key(SETTINGS | {"max_rows": 8}) != served_key(SETTINGS)


def test_a_published_model_holds_the_code_of_serving_alone_and_says_its_version(publisher, client):
    publish(publisher.content(1, right=50), "vit")
    folder = Path(client.get_model_version_download_uri("vit", "1").removeprefix("file://"))
    travels = {path.relative_to(folder / "code").as_posix() for path in (folder / "code").rglob("*") if path.is_file()}
    assert travels == set(served_code())
    assert {"vit/__init__.py", "vit/serving/pyfunc.py", "vit/evaluation/explain.py"} < travels
    assert Model.load(str(folder)).metadata == {"vit_version": VERSION}
