"""Jobs on a Dask cluster of this machine: equal bytes, refused workers, clear errors."""

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from benchmarks.engine import STAGES, draw, outputs, run_stage, seconds
from benchmarks.nodes import cluster, cpu_seconds, end, logs, wait_until
from tests.conftest import REPO, documented, free_port
from tests.data.shards.common import files_of, repack
from tests.data.test_pack import drawn_rows
from tests.data.test_pool import refuse_seven, square
from tests.drawn import draw as draw_image
from tests.presets import preset
from vit.data import engine
from vit.data.audit.scan import scan
from vit.data.engine import ENGINE, engine_address
from vit.data.manifest import list_images
from vit.data.pack import measure_files
from vit.data.pool import map_unordered
from vit.errors import UserError
from vit.exposure import is_loopback
from vit.files import write_table

pytestmark = pytest.mark.long
needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="no Dask: pip install -r requirements-engine.txt -c constraints.txt"
)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("yes", "is not the address of a Dask scheduler"),
        ("ray://head:10001", "is not the address of a Dask scheduler"),
        ("tcp://127.0.0.1", "is not the address of a Dask scheduler"),
        ("tcp://127.0.0.1:port", "is not the address of a Dask scheduler"),
        ("tls://me:secret@head:8786", "is not the address of a Dask scheduler"),
        ("tcp://head:8786", "neither encrypted nor on this machine alone"),
        ("tcp://0.0.0.0:8786", "neither encrypted nor on this machine alone"),
    ],
)
def test_a_value_that_is_no_safe_address_is_refused_in_one_line(monkeypatch, value, says):
    monkeypatch.setenv(ENGINE, value)
    with pytest.raises(UserError, match=says) as caught:
        list(map_unordered(square, range(3), 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tcp://localhost:1", "tls://head:8786"])
def test_addresses_of_this_machine_or_with_tls_are_taken(monkeypatch, value):
    monkeypatch.setenv(ENGINE, value)
    assert engine_address() == value
    monkeypatch.setenv(ENGINE, "")
    assert engine_address() is None


def test_without_dask_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv(ENGINE, "tcp://127.0.0.1:8786")
    with pytest.raises(UserError, match=r"needs Dask; run `pip install -r requirements-engine\.txt"):
        list(map_unordered(square, range(3), 1))


@needs_dask
def test_an_address_where_nobody_listens_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "CONNECT", 0.5)
    monkeypatch.setenv(ENGINE, f"tcp://127.0.0.1:{free_port()}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no Dask scheduler responds") as caught:
        list(map_unordered(square, range(3), 1))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> tuple[str, list[subprocess.Popen]]:
    """A scheduler and two nodes, started by the commands of the guide."""
    commands = {"scheduler": documented("dask scheduler --host"), "worker": documented("dask worker tcp://127.0.0.1")}
    with cluster(tmp_path_factory.mktemp("engine") / "nodes", 2, **commands) as found:
        yield found


@pytest.fixture
def address(nodes) -> str:
    return nodes[0]


@pytest.fixture
def on_engine(address, monkeypatch, tmp_path):
    """This process, in a folder of its own, as a client of that scheduler."""
    monkeypatch.setenv(ENGINE, address)
    monkeypatch.chdir(tmp_path)


@needs_dask
def test_the_commands_of_the_guide_listen_on_this_machine_only(nodes):
    started = [psutil.Process(program.pid) for program in nodes[1]]
    started += [child for one in started for child in one.children(recursive=True)]
    listening = [one.laddr.ip for process in started for one in process.net_connections() if one.status == "LISTEN"]
    assert len(listening) >= 6 and all(map(is_loopback, listening))


@needs_dask
def test_every_item_has_its_result_and_an_error_its_own_words(on_engine):
    assert sorted(map_unordered(square, range(50), 1)) == [number**2 for number in range(50)]
    with pytest.raises(UserError, match=r"^7 is not wanted$"):
        list(map_unordered(refuse_seven, range(1000), 1))
    assert not list(Path(".vit").iterdir())


@needs_dask
def test_audit_and_pack_give_the_same_bytes_as_without_it(on_engine, monkeypatch, tmp_path):
    raw, table = Path("raw"), Path("splits/train.csv")
    write_table(table, [row._asdict() for row in drawn_rows(raw, 71)])
    whole = (raw / "cat/0.png").read_bytes()
    (raw / "cat/torn.png").write_bytes(whole[: len(whole) // 2])
    found = []
    for address in (os.environ[ENGINE], ""):
        monkeypatch.setenv(ENGINE, address)
        seen = scan(raw, list_images(raw))
        for mode in ("arrays", "shards"):
            repack(Path(), mode)
        statistics = measure_files(raw, table, preset(tmp_path, "shapes").pack)
        looks = [vars(look) | {"thumbnail": look.thumbnail.tobytes()} for look in seen.looks]
        found.append((seen.rows, seen.broken, looks, statistics, files_of(Path("arrays")) | files_of(Path("shards"))))
    assert found[0] == found[1] and len(found[0][2]) == 71 and len(found[0][1]) == 1


@needs_dask
def test_an_image_that_only_this_machine_can_read_is_not_listed_as_broken(on_engine):
    raw = Path("data/raw")
    (raw / "cat").mkdir(parents=True)
    with draw_image(Path("elsewhere.png")).open("rb") as file, os.fdopen(os.dup2(file.fileno(), 900)) as far:
        (raw / "cat/1.png").symlink_to(f"/proc/self/fd/{far.fileno()}")  # a number that no worker has open
        with pytest.raises(UserError, match=r"cat/1\.png: .*, says a worker, but this machine can read it"):
            scan(raw, list_images(raw))


@needs_dask
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"code of vit": "another"}, "has code of vit [0-9a-f]{12}, and this machine another; make them equal"),
        ({"pillow": "9.0.0"}, r"has pillow [0-9.]+, and this machine 9\.0\.0; make them equal"),
        ({}, "does not see the files of .*; mount this folder there"),
    ],
)
def test_a_worker_whose_results_could_differ_is_refused_in_one_line(address, tmp_path, changes, says):
    from distributed import Client

    expected = tuple((dict(engine.depends_on()) | changes).items())
    place = engine.Place(tmp_path, tmp_path / "token", "nowhere", expected)
    with (
        Client(address) as client,
        pytest.raises(UserError, match=f"^the worker tcp://127.0.0.[23]:[0-9]+ on .* {says}"),
    ):
        client.submit(engine._run, pickle.dumps((square, 2)), place).result(timeout=30)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "project"
    draw(folder, 1500, (480, 640))
    seconds("split", folder, [224, 224])
    return folder


def middle(program: subprocess.Popen, node: subprocess.Popen) -> None:
    """Wait until the processes of a node have computed for 0.7 s more than now; the stage still runs then."""
    begun = cpu_seconds([node])
    wait_until(lambda: cpu_seconds([node]) > begun + 0.7, [program])
    assert program.poll() is None


@needs_dask
@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_a_node_that_is_killed_in_the_middle_changes_no_byte(drawn, tmp_path, name):
    seconds(name, drawn, [224, 224])
    expected = outputs(drawn)
    with cluster(tmp_path / "nodes", 2) as (address, (_, node, _)):
        program = run_stage(name, drawn, [224, 224], address)
        middle(program, node)
        end(node)
        output, _ = program.communicate(timeout=300)
        assert program.returncode == 0, output
        assert "Remove worker" in logs(tmp_path / "nodes")[0].read_text()
    assert outputs(drawn) == expected


@needs_dask
@pytest.mark.slow
def test_a_scheduler_that_is_killed_ends_the_stage_with_one_line_and_the_old_outputs(drawn, tmp_path):
    expected = outputs(drawn)
    with cluster(tmp_path / "nodes", 1) as (address, (scheduler, node)):
        program = run_stage("split", drawn, [224, 224], address)
        middle(program, node)
        end(scheduler)
        output, _ = program.communicate(timeout=300)
    assert program.returncode == 1 and output.count("\n") == 1, output
    assert output.startswith(f"error: VIT_ENGINE '{address}': no Dask scheduler responds")
    assert outputs(drawn) == expected


@needs_dask
@pytest.mark.slow
def test_without_any_worker_the_stage_does_not_wait_for_ever(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "LOST", 1)
    with cluster(tmp_path / "nodes", 0) as (address, _):
        monkeypatch.setenv(ENGINE, address)
        with pytest.raises(UserError, match="has had no worker for 1 s"):
            list(map_unordered(square, range(3), 1))


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@needs_dask
@pytest.mark.slow
def test_images_that_kill_every_worker_end_the_work_with_what_to_do(monkeypatch, tmp_path):
    with cluster(tmp_path / "nodes", 2) as (address, _):
        monkeypatch.setenv(ENGINE, address)
        with pytest.raises(UserError, match="4 workers died on the same images, perhaps for lack of memory"):
            list(map_unordered(die, range(1), 1))


@needs_dask
@pytest.mark.slow
def test_workers_with_another_version_of_the_project_are_told_in_one_line(monkeypatch, tmp_path):
    (tmp_path / "older/vit").mkdir(parents=True)
    (tmp_path / "older/vit/__init__.py").touch()
    with cluster(tmp_path / "nodes", 1, repo=tmp_path / "older") as (address, _):
        monkeypatch.setenv(ENGINE, address)
        with pytest.raises(UserError, match=r"lacks the project \(No module named 'vit\.data") as caught:
            list(map_unordered(abs, [-1], 1))
    assert "\n" not in str(caught.value)


@needs_dask
@pytest.mark.slow
def test_a_worker_with_threads_is_refused(monkeypatch, tmp_path):
    worker = documented("dask worker tcp://127.0.0.1").replace("--nthreads 1", "--nthreads 2")
    with cluster(tmp_path / "nodes", 1, worker=worker) as (address, _):
        monkeypatch.setenv(ENGINE, address)
        with pytest.raises(UserError, match="has several threads"):
            list(map_unordered(square, range(3), 1))


@needs_dask
@pytest.mark.slow
def test_a_scheduler_that_others_reach_is_refused_without_tls(monkeypatch, tmp_path):
    with cluster(tmp_path / "nodes", 0, scheduler="dask scheduler") as (address, _):
        monkeypatch.setenv(ENGINE, f"tcp://127.0.0.1:{address.rpartition(':')[2]}")
        with pytest.raises(UserError, match=r"listens on tcp://.* is neither encrypted nor on this machine alone"):
            list(map_unordered(square, range(3), 1))


@needs_dask
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_with_the_certificate_and_the_settings_of_the_guide_everything_is_encrypted(monkeypatch, tmp_path):
    subprocess.run(documented("openssl req"), shell=True, cwd=tmp_path, check=True, capture_output=True)
    guide = (REPO / "docs/guides/many-machines.md").read_text(encoding="utf-8")
    settings = re.search(r"^```yaml\n(.*?)^```", guide, re.M | re.S)[1]
    (tmp_path / "config").mkdir()
    (tmp_path / "config/tls.yaml").write_text(re.sub(r"\w+\.pem", lambda name: str(tmp_path / name[0]), settings))
    commands = {"scheduler": documented("dask scheduler --protocol"), "worker": documented("dask worker tls:")}
    worker = commands["worker"].replace("tls://head:8786", "tcp://127.0.0.1:8786")
    with cluster(
        tmp_path / "nodes", 1, scheduler=commands["scheduler"], worker=worker, DASK_CONFIG=str(tmp_path / "config")
    ) as (address, _):
        assert address.startswith("tls://")
        program = "from vit.data.pool import map_unordered as m; print(sorted(m(abs, [-1, 2], 1)))"
        for config, shown in ((tmp_path / "config", "[1, 2]"), (tmp_path / "none", "needs a certificate")):
            env = os.environ | {ENGINE: address, "DASK_CONFIG": str(config), "PYTHONPATH": str(REPO)}
            done = subprocess.run(
                [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True
            )
            assert shown in done.stdout + done.stderr
