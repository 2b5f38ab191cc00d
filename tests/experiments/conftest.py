"""A clone after a sweep."""

import pytest

from tests.conftest import Project
from tests.experiments.sweep import sweep


@pytest.fixture(scope="session")
def swept(tmp_path_factory) -> Project:
    return sweep(tmp_path_factory.mktemp("work") / "sweep")
