"""Weights from the Hugging Face hub: its real client, before a hub on this machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from timm.models.vision_transformer import VisionTransformer

from tests.fake_hub import commit_of, hub
from tests.local_server import Answer, serving
from tests.presets import REPO
from vit.files import read_json, sha256_of, write_json

pytestmark = pytest.mark.long

pytest.importorskip("huggingface_hub", reason="needs requirements-hub.txt")

GATED = Answer(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model me/gated is restricted"})
CHUNK = 1000  # bytes that the client writes at once
LOCKED, PRIVATE = GATED._replace(status=401), Answer(401, b"{}")
NOWHERE = "http://127.0.0.1:9"  # nothing listens there
SECRETS = ("plantedpassword", "hf_plantedtoken")
torch.manual_seed(0)
STATE = VisionTransformer(img_size=16, patch_size=4, embed_dim=12, depth=1, num_heads=3, num_classes=3).state_dict()
STATE["norm.weight"] = STATE["norm.weight"].bfloat16()
IMAGES = {"interpolation": "bicubic", "crop_pct": 0.9, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.25]}
CONFIG = {"architecture": "vit_tiny_patch16_224", "model_args": {"num_heads": 3}}
CONFIG |= {"pretrained_cfg": {"input_size": [3, 16, 16], **IMAGES}}


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("was_run"),)


def save(folder: Path, weights: dict = STATE, name: str = "model.safetensors") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(weights, folder / name)
    write_json(folder / "config.json", CONFIG)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA model.\n")


def shard(folder: Path, written: dict[str, dict], others: dict[str, str] | None = None) -> None:
    """Shards with their index, which also names `others`, that are not there."""
    for name, weights in written.items():
        save(folder, weights, name)
    folder.mkdir(exist_ok=True)
    places = {tensor: name for name, weights in written.items() for tensor in weights}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places | (others or {})})


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    save(root / "me/vit")
    torch.save({"head.weight": Hostile()}, root / "me/vit/pytorch_model.bin")  # never looked at
    first, *rest = STATE
    whole = {"model-1.safetensors": {first: STATE[first]}, "model-2.safetensors": {name: STATE[name] for name in rest}}
    half = {"model-1.safetensors": {first: STATE[first]}}
    shard(root / "me/sharded", whole)
    shard(root / "me/torn", half, {"x": "model-2.safetensors"})
    shard(root / "me/outside", half, {"x": "../../x.safetensors"})
    for name, content in (("pickle", STATE), ("hostile", {"head.weight": Hostile()})):
        (root / "me" / name).mkdir()
        torch.save(content, root / "me" / name / "pytorch_model.bin")
        write_json(root / "me" / name / "config.json", CONFIG)
    shard(root / "me/listless", {})
    save(root / "me/garbled")
    (root / "me/garbled/config.json").write_text("<html>")
    (root / "me/onnx").mkdir()
    (root / "me/onnx/model.onnx").write_bytes(b"x")
    for name in ("cut", "slow", "short", "damaged", "silent", "gated", "locked", "private", "down"):
        save(root / "me" / name)
    return root


class Interrupted:
    """The first download of the weights ends in the middle; the next answer is fit only for the rest of it."""

    def __init__(self, **changes):
        self.changes, self.asked = changes, 0

    def __call__(self, file: str, answer: Answer) -> Answer:
        self.asked += file == "model.safetensors"
        if file != "model.safetensors" or self.asked == 1:  # the client asks first what the file is
            return answer
        return answer._replace(**self.changes if self.asked == 2 else {"body": b"?" * CHUNK + answer.body[CHUNK:]})


def short(file: str, answer: Answer) -> Answer:
    """Fewer bytes than the hub says, and an orderly end."""
    size = {"X-Linked-Size": str(len(answer.body))}
    return answer._replace(body=answer.body[:-9], headers=answer.headers | size) if file.endswith("tensors") else answer


def damaged(file: str, answer: Answer) -> Answer:
    return answer._replace(body=answer.body[:-1] + b"\0") if file.endswith("tensors") else answer


@pytest.fixture(scope="module")
def address(root):
    spoiling = {"me/cut": Interrupted(is_cut=True), "me/slow": Interrupted(silence=2.5), "me/short": short}
    spoiling |= {"me/damaged": damaged, "me/silent": lambda file, answer: answer._replace(silence=2.5)}
    with serving(
        hub(root, {"me/gated": GATED, "me/locked": LOCKED, "me/private": PRIVATE, "me/down": Answer(503)}, spoiling)
    ) as address:
        yield address


FETCHED = ("vit", "sharded", "pickle", "cut", "slow")
# A model, its revision, and the message; HEAD stands for the current commit.
REFUSED = {
    "no commit": ("vit", None, "'hf-hub:me/vit' has no commit; write hf-hub:me/vit@HEAD, which is the commit now"),
    "branch": ("vit", "main", "names 'main', which may move; write hf-hub:me/vit@HEAD, which is the commit now"),
    "tag": ("vit", "v1.0", "'me/vit' has no revision 'v1.0'; write one of its commits, now hf-hub:me/vit@HEAD"),
    "short hash": (
        "vit",
        "1234567",
        "'me/vit' has no revision '1234567'; write one of its commits, now hf-hub:me/vit@",
    ),
    "moved": ("vit", "1" * 40, f"no revision '{'1' * 40}'; write one of its commits, now hf-hub:me/vit@HEAD"),
    "missing": ("nobody", "1" * 40, "the hub has no model 'me/nobody', or it is private; check train.init_from"),
    "gated": ("gated", "HEAD", "'me/gated' is gated: accept its terms at huggingface.co/me/gated, and log in by"),
    "no token": ("locked", "HEAD", "'me/locked' is gated: accept its terms at huggingface.co/me/locked, and log in by"),
    "private": ("private", "HEAD", "the hub has no model 'me/private', or it is private; check train.init_from"),
    "down": ("down", "HEAD", "the hub responded with 503 for 'me/down'; run again later, or copy the weights to"),
    "silent": ("silent", "HEAD", "cannot be reached, and the library's cache does not hold hf-hub:me/silent@HEAD"),
    "short": ("short", "HEAD", "'me/short' cannot be loaded (OSError: Consistency check failed: file should be of"),
    "damaged": ("damaged", "HEAD", "'hf-hub:me/damaged@HEAD': model.safetensors arrived damaged, with digest"),
    "hostile": ("hostile", "HEAD", "holds more than weights, possibly a program"),
    "torn": ("torn", "HEAD", "model-2.safetensors of model.safetensors.index.json is missing"),
    "outside": ("outside", "HEAD", "model.safetensors.index.json names '../../x.safetensors', which is not a file of"),
    "no list": ("listless", "HEAD", "model.safetensors.index.json names no files"),
    "no JSON": ("garbled", "HEAD", "'hf-hub:me/garbled@HEAD': config.json is not a JSON object"),
    "no weights": (
        "onnx",
        "HEAD",
        "index.json or pytorch_model.bin; it has model.onnx; use another repository, or copy the weights to",
    ),
    "misspelt": ("a/b", None, "is not the name of a model on the hub; write hf-hub:OWNER/NAME@COMMIT"),
}
FETCH = """
import json, sys
from pathlib import Path
from huggingface_hub import constants
from stages.weights import fetch_weights
from vit.errors import UserError

constants.DOWNLOAD_CHUNK_SIZE = int(sys.argv[1])  # else nothing of these small files is kept when they are cut
for name, named in json.load(sys.stdin).items():
    Path(name).mkdir()
    try:
        known = fetch_weights(named, Path(name), "train.init_from", Path("absent.csv"))
    except UserError as error:
        known = {"error": str(error)}
    Path(name, "known.json").write_text(json.dumps(known))
"""


def environment(home: Path, address: str, **more: str) -> dict[str, str]:
    """Nobody's token, cache and settings but what is planted."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "DVC_"))}
    return inherited | {
        "PYTHONPATH": str(REPO),
        "HF_HOME": str(home),
        "HF_ENDPOINT": address.replace("//", f"//user:{SECRETS[0]}@"),
        "HF_TOKEN": SECRETS[1],
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        **more,
    }


def fetch(folder: Path, cases: dict[str, str], environment: dict[str, str]) -> None:
    """Fetch each case to a folder of its name, with known.json; all in one process, as the library starts slowly."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", FETCH, str(CHUNK)], cwd=folder, env=environment, input=json.dumps(cases),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout + done.stderr)


def named(root: Path, model: str, revision: str | None = "HEAD") -> str:
    commit = commit_of(root / "me" / model) if revision == "HEAD" else revision
    return f"hf-hub:me/{model}{f'@{commit}' if commit else ''}"


@pytest.fixture(scope="module")
def fetched(root, address, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fetched")
    cases = {name: named(root, name) for name in FETCHED}
    cases |= {name: named(root, model, revision) for name, (model, revision, _) in REFUSED.items()}
    fetch(folder, cases, environment(folder / "home", address))
    return folder


@pytest.mark.parametrize("name", FETCHED)
def test_the_weights_arrive_whole_also_in_shards_in_a_pickle_and_after_a_cut_or_silence_in_the_middle(
    root, fetched, name
):
    arrived = safetensors.torch.load_file(fetched / name / "model.safetensors")
    assert arrived.keys() == STATE.keys()
    for tensor, values in STATE.items():
        assert torch.equal(arrived[tensor], values.float())


def test_source_commit_licence_and_digests_are_recorded_and_the_settings_lie_beside_the_weights(root, fetched):
    commit, file = commit_of(root / "me/vit"), fetched / "vit/model.safetensors"
    assert read_json(fetched / "vit/known.json") == {
        "source": f"hf-hub:me/vit@{commit}",
        "sha256": sha256_of(file),
        "images_seen": "unknown",
        "url": f"https://huggingface.co/me/vit/tree/{commit}",
        "licence": "apache-2.0",
        "files": {"model.safetensors": digest(root / "me/vit/model.safetensors")},
    }
    config = read_json(fetched / "vit/config.json")
    assert config.items() >= (IMAGES | {"image_size": [16, 16], "channels": 3, "fit": "center"}).items()
    assert config["model"].items() >= {"patch_size": 4, "embed_dim": 12, "depth": 1, "num_heads": 3}.items()
    assert read_json(fetched / "sharded/known.json")["files"].keys() == {"model-1.safetensors", "model-2.safetensors"}
    assert read_json(fetched / "pickle/known.json")["licence"] is None


def digest(path: Path) -> str:
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fetched_is_refused_with_the_way_out_and_no_weights_are_written(root, fetched, name):
    model, _, message = REFUSED[name]
    said = read_json(fetched / name / "known.json")["error"]
    head = commit_of(root / "me" / model) if (root / "me" / model).is_dir() else ""
    assert message.replace("HEAD", head) in said and "train.init_from" in said
    assert not (fetched / name / "model.safetensors").exists()


def test_no_pickled_program_is_run_and_no_secret_is_in_anything_that_was_said_or_written(fetched):
    assert not (fetched / "was_run").exists()
    for path in [path for path in fetched.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in content], path


@pytest.mark.parametrize("more", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["no network", "HF_HUB_OFFLINE"])
def test_without_the_hub_a_pinned_commit_comes_from_the_cache_with_the_same_record(root, fetched, tmp_path, more):
    cases = {"vit": named(root, "vit"), "sharded": named(root, "sharded"), "other": named(root, "vit", "2" * 40)}
    cases |= {"unpinned": named(root, "vit", None)}
    fetch(tmp_path / "again", cases, environment(fetched / "home", NOWHERE, **more))
    for name in ("vit", "sharded"):
        for file in ("known.json", "model.safetensors"):
            assert (tmp_path / "again" / name / file).read_bytes() == (fetched / name / file).read_bytes()
    said = (tmp_path / "again/said.txt").read_text()
    assert "the hub cannot be reached for 'me/vit'" in said and "using what the library's cache holds" in said
    other, unpinned = (read_json(tmp_path / "again" / name / "known.json")["error"] for name in ("other", "unpinned"))
    assert f"the library's cache does not hold hf-hub:me/vit@{'2' * 40}" in other
    assert "the hub cannot be reached for 'me/vit'" in unpinned


def test_damage_in_the_cache_is_noticed_and_the_next_run_downloads_again(root, address, fetched, tmp_path):
    shutil.copytree(fetched / "home", tmp_path / "home", symlinks=True)
    (snapshot,) = (tmp_path / "home").rglob("models--me--vit/snapshots/*/model.safetensors")
    blob = snapshot.resolve()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
    cases = dict.fromkeys(("damaged", "again"), named(root, "vit"))
    fetch(tmp_path / "out", cases, environment(tmp_path / "home", address))
    assert "arrived damaged" in read_json(tmp_path / "out/damaged/known.json")["error"]
    assert read_json(tmp_path / "out/again/known.json") == read_json(fetched / "vit/known.json")
