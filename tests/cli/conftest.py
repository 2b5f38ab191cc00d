"""The program `vit` in the process of the test, as it runs in one of its own."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from mlflow import MlflowClient

from tests.presets import write_preset
from tests.registry.conftest import new_repo, publisher, repo_with_three, three, within  # noqa: F401
from vit.cli.main import main
from vit.tracking.store import open_store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vit(capsys) -> Run:
    """Run a command; its exit status and what it printed to stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def printed(vit) -> Callable[..., str]:
    """Run a command that succeeds; what it printed."""

    def run(*arguments: str) -> str:
        status, out, err = vit(*arguments)
        assert status == 0, err
        return out

    return run


@pytest.fixture
def refused(vit) -> Callable[..., str]:
    """Run a command that ends in one line on stderr and prints nothing else; that line."""

    def run(*arguments: str) -> str:
        status, out, err = vit(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith("error: ") and err.count("\n") == 1
        return err

    return run


@pytest.fixture
def client(new_repo, tmp_path) -> Iterator[MlflowClient]:  # noqa: F811
    """The client of an empty store, in a repo whose params.yaml is the shapes preset."""
    shutil.copytree(new_repo.folder, tmp_path, dirs_exist_ok=True)
    write_preset(tmp_path / "params.yaml", "shapes")
    with within(tmp_path):
        yield open_store().client
