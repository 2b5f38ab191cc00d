"""The images, built by buildah, and what compose.yaml starts of them, as processes on this machine."""

import base64
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import REPO, free_port
from tests.deploy import servers
from tests.deploy.images import Images, Process, missing
from tests.deploy.test_files import compose

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

TARGETS = ("serve", "tracking", "train", "studio")
MARKER = "no-layer-may-hold-this-4711"
NAMES = ("admin_password", "serve_password", "client_password", "database_password", "store_key", "mlflow_key")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Iterator[Images]:
    """A store for images, which goes with the tests unless VIT_IMAGES names a folder for it: they take 20 GB."""
    kept = os.environ.get("VIT_IMAGES")
    made = Images(Path(kept) if kept else tmp_path_factory.mktemp("images"))
    made.make_base()
    yield made
    if not kept:
        shutil.rmtree(made.folder)


@pytest.fixture(scope="module")
def pip_secrets(tmp_path_factory) -> dict[str, Path]:
    """This machine's settings of pip, if it needs any, with a marker that can be searched for."""
    settings = tmp_path_factory.mktemp("pip") / "pip.conf"
    ours = Path("/etc/pip.conf")
    settings.write_text(f"{ours.read_text() if ours.exists() else '[global]'}\n# {MARKER}\n")
    found = {"pipconf": settings}
    if authority := os.environ.get("PIP_CERT"):
        found["ca"] = Path(authority)
    return found


@pytest.fixture(scope="module")
def built(images, pip_secrets) -> dict[str, float]:
    """All targets; seconds for each, 0 if a kept store had it."""
    seconds = {}
    for target in TARGETS:
        present = images.buildah("images", "--quiet", "--filter", f"reference=localhost/vit-{target}")
        seconds[target] = 0.0 if present else images.build(target, pip_secrets)
    return seconds


def size(root: Path) -> float:
    """In GB."""
    return (
        int(subprocess.run(["du", "-sxB1", root], capture_output=True, text=True, check=True).stdout.split()[0]) / 1e9
    )


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_is_not_root_writes_nowhere_and_names_the_code_and_packages_it_holds(images, built, target, capsys):
    config = images.config(target)
    for name in ("code", "lock", "packages"):
        ours = subprocess.run([REPO / "deploy/digest", name], capture_output=True, text=True, check=True).stdout.strip()
        assert config["Labels"][f"vit.{name}"] == ours, name
    root = images.root(target)
    with capsys.disabled():
        print(f"\n{target}: {size(root):.2f} GB, built in {built[target]:.0f} s")
    writable = ["find", "/", "-xdev", "-not", "-type", "l", "-writable", "-not", "-path", "/proc/*"]
    command = ["chroot", "--userspec=10001:10001", root, *writable]
    places = set(subprocess.run(command, capture_output=True, text=True).stdout.split())
    own = {"tracking": {"/data"}, "train": {"/project"}, "studio": {"/project"}}.get(target, set())
    assert {place for place in places if not place.startswith("/dev/")} == own | {"/tmp", "/var/tmp", "/run/lock"}
    if target in ("train", "studio"):
        inside = subprocess.run([root / "opt/project/deploy/digest", "code"], capture_output=True, text=True)
        assert inside.stdout.strip() == config["Labels"]["vit.code"]
    packages = root / "opt/venv/lib"
    assert bool(list(packages.glob("python3*/site-packages/dvc"))) is (target in ("train", "studio"))
    assert bool(list(packages.glob("python3*/site-packages/torch"))) is (target != "tracking")
    assert bool(list(packages.glob("python3*/site-packages/streamlit"))) is (target == "studio")
    if target == "serve":
        assert sorted(path.name for path in (root / "opt/vit").iterdir() if path.suffix == ".py") == [
            "ready.py",
            "serve.py",
        ]


def test_no_layer_nor_its_history_holds_a_secret_of_the_build(images, built):
    found = subprocess.run(["grep", "-rlF", MARKER, images.folder / "graph"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")  # 2 would be an error


def test_a_project_of_another_image_gets_the_code_of_this_one_and_keeps_its_own_files(images, built, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    os.chown(project, 10001, 10001)

    def start(command: str, **env: str) -> str:
        log = tmp_path / "log"
        with images.running("train", log, env, {project: "/project"}, ("sh", "-ec", command)) as process:
            assert process.popen.wait(timeout=120) == 0, log.read_text()
        return log.read_text()

    assert "dvc.yaml" in start("git status --short; git ls-files")
    start("echo '# mine' >> params.yaml; echo '# mine' >> vit/errors.py; touch images/mine")
    assert start("git status --short") == " M params.yaml\n M vit/errors.py\n"  # the same image changes nothing
    assert "gets this image's" in start("true", VIT_CODE="of a newer image")
    assert start("git status --short; git log --format=%s", VIT_CODE="of a newer image").splitlines() == [
        "The code of the image",
        "Before the code of another image",
        "The code of the image",
    ]
    assert (project / "params.yaml").read_text().endswith("# mine\n") and (project / "images/mine").exists()
    assert "# mine" not in (project / "vit/errors.py").read_text()
    assert "# mine" in start("git show HEAD~:vit/errors.py", VIT_CODE="of a newer image")


def test_the_studio_shows_nothing_to_others_without_a_password_or_a_proxy(images, built, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    os.chown(project, 10001, 10001)
    log, volumes = tmp_path / "log", {project: "/project"}
    with images.running("studio", log, {}, volumes) as refused:
        assert refused.popen.wait(timeout=120) == 1
    assert "VIT_STUDIO_PASSWORD" in log.read_text().splitlines()[-1]
    health = images.config("studio")["Healthcheck"]["Test"][1:]
    env = {"VIT_STUDIO_PASSWORD": "a long password"}
    with images.running("studio", log, env, volumes, url="http://127.0.0.1:8501") as studio:
        servers.wait_until(lambda: studio.run(*health).check_returncode(), subprocess.CalledProcessError)


def environment(service: str, **changes: str) -> dict[str, str]:
    """What compose.yaml sets for a service, with these values in place of names that only its network knows."""
    values = compose()["services"][service]["environment"]
    values = {key: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for key, value in values.items()}  # the default
    assert changes.keys() <= values.keys() | {"PORT"}, "the test sets what compose.yaml does not"
    return values | changes


@dataclass
class Started:
    """What compose.yaml starts in profile full: addresses through the proxy, passwords, processes."""

    serve: str
    mlflow: str
    bucket: str
    secrets: Mapping[str, str]
    server: Process
    seconds: float
    project: Path


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Path:
    folder = shutil.copytree(REPO / "deploy", tmp_path_factory.mktemp("copy") / "deploy")
    shutil.rmtree(folder / "secrets", ignore_errors=True)
    subprocess.run([folder / "make-secrets"], check=True)
    folder.joinpath("secrets").chmod(0o755)  # compose mounts the files, here it is the folder
    return folder / "secrets"


@pytest.fixture(scope="module")
def started(images, built, secrets, tmp_path_factory) -> Iterator[Started]:
    """Database, bucket, MLflow, trainer, server and proxy, from nothing until the first prediction."""
    if (reason := servers.missing()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("up")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # for the user of PostgreSQL
    values = {name: (secrets / name).read_text() for name in NAMES}
    ports, https = ({name: free_port() for name in ("mlflow", "serve", "studio")} for _ in range(2))
    project = folder / "project"
    project.mkdir()
    os.chown(project, 10001, 10001)
    volumes = {secrets: "/run/secrets"}
    here = f"http://127.0.0.1:{ports['mlflow']}"
    with ExitStack() as stack:
        enter = stack.enter_context
        began = time.monotonic()
        database = enter(servers.postgres(folder / "postgres", secrets / "database_password"))
        store = enter(servers.bucket(folder / "bucket", secrets / "store_key"))
        env = environment(
            "mlflow",
            VIT_DATABASE=f"postgresql+psycopg2://mlflow@127.0.0.1:{database}/mlflow",
            MLFLOW_S3_ENDPOINT_URL=f"http://127.0.0.1:{store}",
            ALLOWED_HOSTS=f"127.0.0.1:{ports['mlflow']},localhost:{https['mlflow']}",
            PORT=str(ports["mlflow"]),
        )
        enter(images.running("tracking", folder / "mlflow.txt", env, volumes, url=f"{here}/health"))
        env = environment("serve", MLFLOW_TRACKING_URI=here, PORT=str(ports["serve"]))
        server = enter(images.running("serve", folder / "serve.txt", env, volumes))
        env = environment("trainer", MLFLOW_TRACKING_URI=here)
        at_project = volumes | {project: "/project"}
        trainer = enter(images.running("train", folder / "train.txt", env, at_project))
        env = {name.upper(): f"127.0.0.1:{ports[name]}" for name in ports}
        env |= {f"{name.upper()}_PORT": str(https[name]) for name in https}
        enter(servers.proxy(folder / "caddy", secrets / "client_password", env))
        assert trainer.popen.wait(timeout=900) == 0, trainer.log.read_text()
        while (ready := server.run("python", "/opt/vit/ready.py")).returncode != 0:
            assert server.popen.poll() is None, server.log.read_text()
            assert time.monotonic() < began + 1200, ready.stderr
            time.sleep(0.5)
        address, mlflow = f"https://localhost:{https['serve']}/invocations", f"https://localhost:{https['mlflow']}"
        yield Started(address, mlflow, f"http://127.0.0.1:{store}", values, server, time.monotonic() - began, project)


TRUSTING = ssl._create_unverified_context()  # the proxy's own authority signed its certificate


def ask(address: str, body: bytes | None, login: str | None = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60, context=TRUSTING) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def an_image(project: Path) -> bytes:
    file = min((project / "data/raw/3").iterdir())
    return json.dumps({"inputs": [base64.b64encode(file.read_bytes()).decode()]}).encode()


def test_one_start_trains_publishes_and_serves_the_first_champion(started, capsys):
    status, body = ask(started.serve, an_image(started.project), f"client:{started.secrets['client_password']}")
    (prediction,) = json.loads(body)["predictions"]
    assert status == 200 and prediction["label"] == "3" and prediction["model_version"] == "1"
    with capsys.disabled():
        print(f"\nfrom the start to the first prediction: {started.seconds:.0f} s")


def test_a_request_to_the_server_without_password_gets_401_before_its_body_is_read(started):
    body = an_image(started.project)
    for login in (None, "client:wrong", f"admin:{started.secrets['client_password']}", "client:"):
        assert ask(started.serve, body, login) == (401, b"")
    host, port = started.serve.removeprefix("https://").removesuffix("/invocations").split(":")
    with TRUSTING.wrap_socket(socket.create_connection((host, int(port)), timeout=10), server_hostname=host) as sent:
        sent.sendall(f"POST /invocations HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 30000000\r\n\r\n".encode())
        assert sent.recv(100).startswith(b"HTTP/1.1 401")  # not a byte of the body was sent


def test_a_body_above_the_limit_is_refused_by_the_proxy(started):
    login = f"client:{started.secrets['client_password']}"
    status, body = ask(started.serve, b" " * (33554432 + 1), login)
    assert status == 413 and b"predictions" not in body


def test_the_bucket_has_the_model_and_shows_it_to_nobody_without_the_key(started):
    folder = started.project.parent
    assert size(folder / "bucket") > 1e-4  # GB
    for place in ("", "mlflow", "mlflow?list-type=2&prefix=artifacts"):
        status, body = ask(f"{started.bucket}/{place}", None)
        assert status == 403 and b"artifacts/" not in body, place


READS = ("experiments/search", "registered-models/search", "runs/search")


def test_a_request_to_mlflow_without_account_gets_401_and_reads_nothing(started):
    places = [f"api/2.0/mlflow/{name}" for name in READS]
    places += ["", "api/2.0/mlflow-artifacts/artifacts", "ajax-api/2.0/mlflow/experiments/search", "graphql"]
    for place in places:
        for login in (None, "serve:wrong", "admin:password1234"):  # the last was MLflow's default
            for body in (None, b"{}"):
                status, answer = ask(f"{started.mlflow}/{place}", body, login)
                assert status == 401 and b"vit" not in answer.lower(), (place, login, answer)


def test_the_account_of_the_server_reads_the_registry_but_changes_nothing(started):
    login = f"serve:{started.secrets['serve_password']}"
    api = f"{started.mlflow}/api/2.0/mlflow"
    status, body = ask(f"{api}/registered-models/alias?name=vit&alias=champion", None, login)
    assert status == 200 and json.loads(body)["model_version"]["version"] == "1"
    moved = json.dumps({"name": "vit", "alias": "champion", "version": "1"}).encode()
    assert ask(f"{api}/registered-models/alias", moved, login)[0] == 403
    assert ask(f"{api}/experiments/create", b'{"name": "mine"}', login)[0] == 403
    assert ask(f"{api}/registered-models/create", b'{"name": "mine"}', login)[0] == 403


def test_no_log_holds_a_secret(started):
    folder = started.project.parent
    logs = [*folder.glob("*.txt"), *folder.glob("*/log")]
    assert len(logs) == 6
    told = [(log.name, name) for log in logs for name, value in started.secrets.items() if value in log.read_text()]
    assert told == []


def test_the_server_writes_nothing_outside_tmp_and_ends_at_sigterm(started):
    for place in ("/opt/vit/x", "/x", "/opt/venv/x"):
        assert "Read-only file system" in started.server.run("touch", place).stderr or "denied" in place
    began = time.monotonic()
    assert started.server.stop() == 0 and time.monotonic() - began < 10
