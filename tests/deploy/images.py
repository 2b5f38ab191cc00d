"""Images without a daemon: buildah builds them as root, and their processes run as a container's would."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import REPO
from tests.deploy.servers import wait_for

NEEDED = ("buildah", "mmdebstrap", "unshare", "nsenter")
TARGETS = ("serve", "tracking", "train", "studio")
MARKER = "no-layer-may-hold-this-4711"  # in a secret of every build
DEBIAN = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"


def missing() -> str | None:
    """Why images cannot be built here."""
    if os.geteuid() != 0:
        return "builds without a daemon need root"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    return f"{', '.join(absent)} is not installed" if absent else None


@dataclass(frozen=True)
class Process:
    """A process in a container of its own."""

    popen: subprocess.Popen
    env: Mapping[str, str]
    log: Path

    @property
    def pid(self) -> int:
        """Of the container's first process, as seen from outside."""
        return psutil.Process(self.popen.pid).children()[0].pid

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """Run another process in the same container."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--setuid=10001", "--setgid=10001"]
        assigned = [f"{key}={value}" for key, value in self.env.items()]
        return subprocess.run([*inside, "env", "-i", *assigned, *command], capture_output=True, text=True, timeout=60)

    def stop(self) -> int:
        """Send SIGTERM to the first process, as `docker stop` does; the exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.popen.wait(timeout=30)


@dataclass(frozen=True)
class Images:
    """The images of deploy/Dockerfile in a store of their own below `folder`."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        settings = self.folder / "storage.conf"
        return os.environ | {
            "CONTAINERS_STORAGE_CONF": str(settings),
            "STORAGE_DRIVER": "vfs",
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": str(self.folder),
            "BASE": "localhost/base",
        }

    def buildah(self, *arguments: str | Path) -> str:
        done = subprocess.run(["buildah", *map(str, arguments)], env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def make_base(self) -> None:
        """Debian with Python, in place of an image from a registry."""
        self.folder.mkdir(parents=True, exist_ok=True)
        store = f'[storage]\ndriver = "vfs"\ngraphroot = "{self.folder}/graph"\nrunroot = "{self.folder}/run"\n'
        (self.folder / "storage.conf").write_text(store)
        if self.buildah("images", "--quiet", "--filter", "reference=localhost/base"):
            return
        archive = self.folder / "base.tar"
        make = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", DEBIAN, archive]
        subprocess.run(make, check=True)
        container = self.buildah("from", "scratch")
        self.buildah("add", container, archive, "/")
        self.buildah("commit", "--rm", container, "localhost/base")
        archive.unlink()

    def build(self, target: str, secrets: Mapping[str, Path]) -> float:
        """Build by deploy/build; the seconds it took."""
        began = time.monotonic()
        options = [part for name, path in secrets.items() for part in ("--secret", f"id={name},src={path}")]
        done = subprocess.run(
            ["deploy/build", target, "--", *options], cwd=REPO, env=self.env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return time.monotonic() - began

    def config(self, target: str) -> dict:
        return json.loads(self.buildah("inspect", "--type", "image", f"localhost/vit-{target}"))["Docker"]["config"]

    def root(self, target: str) -> Path:
        """The folder with the files of an image; vfs keeps every layer whole, so that nothing is copied."""
        wanted = f"localhost/vit-{target}:latest"
        known = json.loads((self.folder / "graph/vfs-images/images.json").read_text())
        (layer,) = [one["layer"] for one in known if wanted in one.get("names", [])]
        return self.folder / "graph/vfs/dir" / layer

    @contextmanager
    def running(
        self,
        target: str,
        log: Path,
        env: Mapping[str, str],
        volumes: Mapping[Path, str] | None = None,
        command: tuple[str, ...] = (),
        url: str | None = None,
    ) -> Iterator[Process]:
        """Start an image's process as compose.yaml does: not root, as process 1, /tmp in memory, all else read-only.

        It uses this machine's network. The block begins when `url` answers.
        """
        config = self.config(target)
        assert config["User"] == "10001:10001"
        inside = dict(one.split("=", 1) for one in config["Env"]) | env
        root = self.root(target)
        mounts = [f"mount --bind {root} {root}", f"mount -o remount,bind,ro {root}", f"mount --rbind /dev {root}/dev"]
        mounts += [f"mount -t tmpfs tmpfs {root}/{place}" for place in ("tmp", "run")]
        mounts += [f"mount -t proc proc {root}/proc"]
        for folder, place in (volumes or {}).items():
            mounts += [f"mkdir -p {root}{place}", f"mount --bind {folder} {root}{place}"]
        arguments = [*config["Entrypoint"], *(command or config["Cmd"])]
        script = " && ".join([*mounts, 'exec chroot --userspec=10001:10001 "$@"'])
        change = ["env", "-i", *(f"{key}={value}" for key, value in inside.items())]
        workdir = ["sh", "-c", 'cd "$0" && exec "$@"', config["WorkingDir"]]
        isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", str(root)]
        with log.open("w") as output:
            popen = subprocess.Popen(
                [*isolated, *change, *workdir, *arguments], stdout=output, stderr=subprocess.STDOUT
            )
            try:
                if url is not None:
                    wait_for(url, popen, log)
                yield Process(popen, inside, log)
            finally:
                for process in psutil.Process(popen.pid).children() if popen.poll() is None else ():
                    process.kill()  # and with it all of the container, whose first process it is
                popen.wait()


def size(folder: Path) -> float:
    """In GB."""
    measured = subprocess.run(["du", "-sxB1", folder], capture_output=True, text=True, check=True).stdout
    return int(measured.split()[0]) / 1e9
