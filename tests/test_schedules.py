"""What repeats `vit keep`: the units of systemd and the line for cron are what their programs accept."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPO
from vit.cli.main import vit

UNITS = sorted((REPO / "deploy/systemd").iterdir())


def verified(folder: Path) -> subprocess.CompletedProcess:
    units = [str(path) for path in sorted(folder.iterdir())]
    command = ["systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=no", *units]
    return subprocess.run(
        command, capture_output=True, text=True, env={"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze: apt-get install systemd")
def test_systemd_accepts_the_units_and_refuses_a_wrong_one(tmp_path):
    for path in UNITS:
        # Only the path of the program is not here.
        text = path.read_text().replace("%h/vit/.venv/bin/vit", "/bin/true")
        (tmp_path / path.name).write_text(text)
    done = verified(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    service = tmp_path / "vit-keep.service"
    service.write_text(service.read_text().replace("KillMode=mixed", "KillMode=gently"))
    assert "Failed to parse kill mode specification" in verified(tmp_path).stderr


def test_every_schedule_runs_a_command_that_there_is():
    guide = (REPO / "docs/guides/keep-it-fresh.md").read_text(encoding="utf-8")
    (cron,) = re.findall(r"^(\S+ \S+ \S+ \S+ \S+) (cd .*vit keep.*)$", guide, re.M)
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in cron[0].split())
    service = (REPO / "deploy/systemd/vit-keep.service").read_text()
    workflow = (REPO / ".github/workflows/keep.yml").read_text()
    called = [text.partition("vit ")[2].split()[0] for text in (cron[1], *re.findall("ExecStart=(.*)", service))]
    called += re.findall(r"^ +vit (\w+)", workflow, re.M)
    assert called == ["keep"] * 3 and "keep" in vit.commands
