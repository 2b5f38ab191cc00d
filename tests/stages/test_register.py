import subprocess
import sys

import pytest
from mlflow.utils.validation import _validate_tag_name
from ruamel.yaml import YAML

from tests.conftest import REPO
from vit.registry.gathered import md5_tags

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("data/raw", "md5/data/raw"),
        ("/home/me/my flowers (2)", "md5/data.path"),
        ("../flowers", "md5/data.path"),
        ("images/flowers (2)", "md5/images/flowers _2_"),
    ],
)
def test_whatever_the_source_is_called_mlflow_takes_the_tag_with_its_md5(tmp_path, monkeypatch, path, tag):
    deps, outs = [{"path": path, "md5": "abc"}], [{"path": "data", "md5": "def"}]
    YAML().dump({"stages": {"download": {"deps": deps, "outs": outs}}}, tmp_path / "dvc.lock")
    monkeypatch.chdir(tmp_path)
    assert md5_tags() == {tag: "abc", "md5/data": "def"}
    _validate_tag_name(tag)


def test_a_publication_starts_without_torch():
    program = "import sys, vit.registry.gathered; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
