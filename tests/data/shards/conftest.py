import shutil

import pytest

from tests.data.shards.common import arrays_and_shards


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """101 drawn images, packed as arrays and as twelve shards; not to be changed."""
    folder = tmp_path_factory.mktemp("drawn")
    return folder, arrays_and_shards(folder, 101)


@pytest.fixture
def folder(drawn, tmp_path):
    """A copy of the drawn images, packed both ways."""
    return shutil.copytree(drawn[0], tmp_path / "copy")
