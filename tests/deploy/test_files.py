"""Everything below deploy/ by the checker of its kind, each of which refuses a wrong file."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from tests.conftest import REPO
from vit.registry.served import SERVED_WITH

DEPLOY = REPO / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
PROGRAMS = Path(sys.executable).parent
NEVER_RUN = re.compile(r"never run|never\n# run")


def documents(path: Path) -> list[dict]:
    return list(YAML(typ="safe", pure=True).load_all(path))


def compose() -> dict:
    return documents(DEPLOY / "compose.yaml")[0]


def run(*command: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=REPO, **options)


def test_the_dockerfile_passes_hadolint_and_a_wrong_one_does_not(tmp_path):
    assert run(PROGRAMS / "hadolint", DEPLOY / "Dockerfile").stdout == ""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text((DEPLOY / "Dockerfile").read_text().replace("apt-get install --yes", "apt-get install"))
    assert "DL3014" in run(PROGRAMS / "hadolint", wrong).stdout


def test_the_compose_files_are_valid_by_the_specification_and_a_wrong_one_is_not(tmp_path):
    check = (PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    done = run(*check, *DEPLOY.glob("compose*.yaml"))
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text().replace("read_only: true", "read_only: [true]"))
    assert run(*check, wrong).returncode == 1


def test_the_manifests_are_valid_for_kubernetes_and_a_wrong_one_is_not(tmp_path):
    validate = (PROGRAMS / "kubernetes-validate", "--strict")
    manifests = [path for path in KUBERNETES if path.name != "kustomization.yaml"]
    done = run(*validate, *manifests)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "serve.yaml"
    wrong.write_text((DEPLOY / "kubernetes/serve.yaml").read_text().replace("replicas: 2", "replica: 2"))
    assert run(*validate, wrong).returncode != 0


def pod_specs() -> dict[str, dict]:
    found = {}
    for path in KUBERNETES:
        for one in documents(path):
            spec = one.get("spec", {})
            spec = spec.get("jobTemplate", {}).get("spec", spec)
            if "template" in spec:
                found[path.stem] = spec["template"]["spec"]
    return found


def test_every_pod_is_non_root_with_a_read_only_file_system_seccomp_and_limits():
    assert pod_specs().keys() == {"mlflow", "serve", "train", "keep", "train-nodes"}
    for name, pod in pod_specs().items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True and security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_the_whole_with_generated_secrets_and_each_name_that_is_used_exists(tmp_path):
    folder = shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))
    run(folder / "make-secrets", check=True)
    shutil.copytree(folder / "secrets", folder / "kubernetes/secrets")
    built = run("kubectl", "kustomize", folder / "kubernetes")
    assert built.returncode == 0, built.stderr
    made = list(YAML(typ="safe", pure=True).load_all(built.stdout))
    secrets = {one["metadata"]["name"] for one in made if one["kind"] == "Secret"}
    claims = {one["metadata"]["name"] for one in made if one["kind"] == "PersistentVolumeClaim"}
    assert all(one["metadata"].get("namespace", "vit") == "vit" for one in made)
    used = set(re.findall(r"secretName: (\S+)", built.stdout)), set(re.findall(r"claimName: (\S+)", built.stdout))
    assert used == (secrets, claims) and secrets and claims == {"mlflow", "project"}


def test_containers_of_compose_are_hardened_and_only_the_proxy_is_reached_from_elsewhere():
    services = compose()["services"]
    for name, service in services.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp:mode=1777" in service["tmpfs"], name
        published = service.get("ports", [])
        assert name == "proxy" or all(port.startswith("127.0.0.1:") for port in published), name
    minimal = {name for name, service in services.items() if "minimal" in service["profiles"]}
    full = {name for name, service in services.items() if "full" in service["profiles"]}
    assert minimal == {"trainer", "mlflow-files", "serve-local"}
    assert full == {"trainer", "serve", "mlflow", "database", "store", "studio", "proxy"}


def test_no_file_holds_a_secret_and_each_secret_that_is_used_is_generated(tmp_path):
    folder = shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))
    run(folder / "make-secrets", check=True)
    made = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    assert len(set(made.values())) == len(made) and all(re.fullmatch("[0-9a-f]{48}", value) for value in made.values())
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    run(folder / "make-secrets", check=True)
    assert made == {path.name: path.read_text() for path in (folder / "secrets").iterdir()}  # what exists stays
    declared = compose()["secrets"]
    assert declared.keys() == made.keys() and all(declared[name] == {"file": f"secrets/{name}"} for name in made)
    used = {name for service in compose()["services"].values() for name in service.get("secrets", [])}
    assert used == made.keys()
    for service in compose()["services"].values():
        for key, value in service.get("environment", {}).items():
            is_secret = re.search(r"PASSWORD|SECRET|(?<!ACCESS_)KEY$", key) is not None
            assert not is_secret or (key.endswith("_FILE") and value.startswith("/run/secrets/")), key


def test_git_and_images_ignore_the_secrets():
    for path in ("deploy/secrets/admin_password", "deploy/kubernetes/secrets/admin_password"):
        assert run("git", "check-ignore", path).returncode == 0
    assert {"*", "deploy/secrets", "deploy/kubernetes/secrets"} <= set((REPO / ".dockerignore").read_text().split())


@pytest.mark.parametrize("path", [*KUBERNETES, *DEPLOY.glob("*.yaml")], ids=lambda path: path.name)
def test_a_file_whose_command_was_never_run_says_so_at_its_top(path):
    assert NEVER_RUN.search("".join(path.read_text().splitlines(keepends=True)[:2]))


def requirements(name: str) -> dict[str, str]:
    lines = (line.split("#")[0].strip() for line in (REPO / name).read_text(encoding="utf-8").splitlines())
    return {Requirement(line).name: str(Requirement(line).specifier) for line in lines if line}


def test_the_image_serve_has_the_pins_of_the_project_and_what_a_published_model_asks_for():
    pins = requirements("requirements.txt") | requirements("requirements-remote.txt")
    serve, tracking = requirements("requirements-serve.txt"), requirements("requirements-tracking.txt")
    assert serve.pop("mlflow-skinny") == pins["mlflow"]
    assert serve.keys() == {*SERVED_WITH, "torchvision"} - {"mlflow"}
    assert all(pins[name] == specifier for name, specifier in serve.items())
    assert all(pins.get(name, specifier) == specifier for name, specifier in tracking.items())


def start(script: str, *command: str, env: dict[str, str]) -> subprocess.CompletedProcess:
    return run(DEPLOY / "start" / script, *command, env={"PATH": os.environ["PATH"]} | env)


def test_secrets_of_files_reach_the_command_and_one_that_is_missing_ends_it_in_one_line(tmp_path):
    (tmp_path / "one").write_text("s$ec'r et\nrest\n")
    env = {"A_PASSWORD_FILE": str(tmp_path / "one"), "SSL_CERT_FILE": "/etc/ssl/none", "B": "b"}
    command = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
    seen = json.loads(start("with-secrets", *command, env=env).stdout)
    assert seen["A_PASSWORD"] == "s$ec'r et" and seen["B"] == "b" and "SSL_CERT" not in seen
    refused = start("with-secrets", "true", env={"A_KEY_FILE": str(tmp_path / "none")})
    assert refused.returncode == 1
    reason = "which is empty or cannot be read; put the secret there"
    assert refused.stderr.strip() == f"error: A_KEY_FILE is {tmp_path}/none, {reason}"


SKY = shutil.which("sky")
READ_TASK = """\
import sys, yaml, sky
given = {"BUCKET": "b-ucket", "MLFLOW_TRACKING_URI": "https://example.org"}
task = sky.Task.from_yaml_config(yaml.safe_load(open(sys.argv[1])), env_overrides=list(given.items()),
                                 secrets_overrides=[("MLFLOW_TRACKING_PASSWORD", "secret")])
print(sorted(one.infra.cloud for one in task.resources), *task.storage_mounts)
"""


@pytest.mark.skipif(SKY is None, reason="SkyPilot is not installed; its packages differ from this project's")
def test_skypilot_reads_its_task_for_three_clouds_and_refuses_a_wrong_one(tmp_path):
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    command = (Path(str(SKY)).with_name("python"), "-c", READ_TASK)
    read = run(*command, DEPLOY / "skypilot.yaml", env=env)
    assert read.stdout.strip() == "['AWS', 'Azure', 'GCP'] /checkpoints", read.stderr
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((DEPLOY / "skypilot.yaml").read_text().replace("use_spot: true", "use_spots: true"))
    assert "use_spots" in run(*command, wrong, env=env).stderr
