"""A Hugging Face hub on this machine, over folders: ROOT/<owner>/<name>/<files> are its data sets and models."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.local_server import Answer

JSON = {"Content-Type": "application/json"}


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def commit_of(folder: Path) -> str:
    """What stands for the commit: it changes with any file."""
    digest = hashlib.sha1()
    for path in files_of(folder):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


Spoil = Callable[[str, Answer], Answer]
LARGE = (".safetensors", ".bin")  # files that the hub keeps outside of git, by their SHA-256


def hub(root: Path, refusing: dict[str, Answer] | None = None, spoiling: dict[str, Spoil] | None = None):
    """Answers requests as the hub does: its API about a repository, and its files, by commit or by branch main.

    `refusing` holds the answer for the files of a repository that hands out none, as a gated one; a status of 500 on is
    the answer to all that is asked about it. `spoiling` changes the answer to a request for a repository's file, or for
    what the hub says about it (then the name is empty).
    """

    def answer(path: str, body: bytes) -> Answer:
        url = unquote(urlsplit(path).path)
        if found := re.fullmatch(r"/(?:datasets/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", url):
            return spoilt(found[1], found[3], file(*found.groups()))
        api = r"/api/(?:datasets|models)/([\w.-]+/[\w.-]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?"
        if found := re.fullmatch(api, url):
            name, what, revision, below = found.groups()
            return spoilt(name, "", about(name, what, revision or "main", (below or "").strip("/"), path, body))
        return _missing("EntryNotFound")

    def spoilt(name: str, file: str, answer: Answer) -> Answer:
        return (spoiling or {})[name](file, answer) if name in (spoiling or {}) else answer

    def known(name: str, revision: str) -> Answer | None:
        folder = root / name
        if not folder.is_dir():
            return _missing("RepoNotFound")
        return None if revision in ("main", commit_of(folder)) else _missing("RevisionNotFound")

    def file(name: str, revision: str, file: str) -> Answer:
        if refused := known(name, revision) or (refusing or {}).get(name):
            return refused
        path = root / name / file
        if not path.is_file():
            return _missing("EntryNotFound")
        headers = {
            "ETag": f'"{_sha256(path) if path.suffix in LARGE else _blob(path)}"',
            "X-Repo-Commit": commit_of(root / name),
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        return Answer(200, path.read_bytes(), headers)

    def about(name: str, what: str | None, revision: str, below: str, path: str, body: bytes) -> Answer:
        if (refused := (refusing or {}).get(name)) and refused.status >= 500:
            return refused
        if refused := known(name, revision):
            return refused
        folder = root / name
        entries = [
            {
                "type": "file",
                "oid": _blob(path),
                "size": path.stat().st_size,
                "path": path.relative_to(folder).as_posix(),
            }
            for path in files_of(folder)
        ]
        if what == "tree":
            return _json(_listed(entries, below, "recursive=true" in path.casefold()))
        if what == "paths-info":
            asked = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
            return _json([entry for entry in entries if entry["path"] in asked["paths"]])
        card = _card(folder / "README.md")
        siblings = [_sibling(folder, entry) for entry in entries]
        record = {"_id": "0", "id": name, "author": name.split("/")[0], "sha": commit_of(folder), "private": False}
        record |= {"gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings}
        return _json(record | {"lastModified": "2026-01-01T00:00:00.000Z", "cardData": card})

    return answer


def _sibling(folder: Path, entry: dict) -> dict:
    known = {"rfilename": entry["path"], "size": entry["size"], "blobId": entry["oid"]}
    if not entry["path"].endswith(LARGE):
        return known
    return known | {"lfs": {"sha256": _sha256(folder / entry["path"]), "size": entry["size"], "pointerSize": 130}}


def _listed(entries: list[dict], below: str, recursive: bool) -> list[dict]:
    folders = {
        "/".join(entry["path"].split("/")[:end]) for entry in entries for end in range(1, entry["path"].count("/") + 1)
    }
    every = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in sorted(folders)] + entries
    prefix = f"{below}/" if below else ""
    inside = [entry for entry in every if entry["path"].startswith(prefix)]
    return [entry for entry in inside if recursive or "/" not in entry["path"][len(prefix) :]]


def _card(readme: Path) -> dict:
    """The lines `key: value` at the head of the README."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    head = text.split("---")[1] if text.startswith("---") else ""
    return dict(re.findall(r"^(\w+): (.+)$", head, re.M))


def _blob(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _missing(code: str) -> Answer:
    return Answer(404, b"{}", JSON | {"X-Error-Code": code})


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode(), JSON)
