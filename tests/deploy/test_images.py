"""The images, built by buildah: what they hold, what they may write, how they start."""

import os
import subprocess

import pytest

from tests.conftest import REPO
from tests.deploy import servers
from tests.deploy.images import MARKER, TARGETS, missing, size

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=str(missing()))]


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
