"""The project as a package: what a wheel of it holds and says."""

import email
import email.message
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import REPO, clone
from vit.release import VERSION

pytestmark = pytest.mark.long

EXTRAS = ("remote", "hub", "text", "export", "engine", "heic", "labels", "monitor", "studio", "bench", "docs", "test")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.Path:
    """The wheel that a fresh clone builds into, by the setuptools that pyproject.toml names and no other."""
    folder = tmp_path_factory.mktemp("package")
    clone(folder / "clone")
    options = ["--no-deps", "--no-build-isolation", "--check-build-dependencies", "--wheel-dir", str(folder)]
    build = [sys.executable, "-m", "pip", "wheel", *options, str(folder / "clone")]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return zipfile.Path(found)


def metadata(wheel: zipfile.Path) -> email.message.Message:
    return email.message_from_string((wheel / f"vit_pipeline-{VERSION}.dist-info/METADATA").read_text(encoding="utf-8"))


def requirements(name: str) -> set[str]:
    """The pins of a requirements file."""
    lines = (REPO / name).read_text(encoding="utf-8").splitlines()
    return {line.split("#")[0].strip() for line in lines} - {""}


def test_a_wheel_holds_all_modules_of_vit_and_nothing_else_of_the_project(wheel):
    modules = {path.relative_to(REPO).as_posix() for path in (REPO / "vit").rglob("*.py")}
    held = {name for name in wheel.root.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    assert held == modules | {"vit/py.typed"}


def test_a_wheel_needs_what_the_requirements_files_pin_and_has_an_extra_for_each_optional_one(wheel):
    stated = [Requirement(line) for line in metadata(wheel).get_all("Requires-Dist")]
    needed = {str(one) for one in stated if one.marker is None}
    assert needed == {str(Requirement(pin)) for pin in requirements("requirements.txt")}
    assert set(metadata(wheel).get_all("Provides-Extra")) == set(EXTRAS)
    for extra in EXTRAS:
        asked = {pin for pin in stated if pin.marker and pin.marker.evaluate({"extra": extra})}
        assert {f"{pin.name}{pin.specifier}" for pin in asked} == requirements(f"requirements-{extra}.txt")


def test_a_wheel_says_its_version_and_the_python_and_command_that_pyproject_names(wheel):
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata(wheel)["Version"] == VERSION
    assert metadata(wheel)["Requires-Python"] == project["requires-python"]
    commands = (wheel / f"vit_pipeline-{VERSION}.dist-info/entry_points.txt").read_text(encoding="utf-8")
    assert commands.split() == ["[console_scripts]", "vit", "=", project["scripts"]["vit"]]


def test_the_version_is_that_of_the_newest_heading_of_the_changelog():
    headings = re.findall(r"^## (.+)$", Path(REPO, "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert re.fullmatch(rf"{re.escape(VERSION)} - \d{{4}}-\d\d-\d\d", headings[0])
