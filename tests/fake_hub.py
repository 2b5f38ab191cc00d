"""A Hugging Face hub on this machine, over folders: ROOT/<owner>/<name>/<files> are its data sets."""

import hashlib
import json
import re
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


def hub(root: Path, refusing: dict[str, Answer] | None = None):
    """Answers requests as the hub does: its API about a data set, and its files, by commit or by branch main.

    `refusing` holds the answer for the files of a data set that hands out none, as a gated one; a status of 500 on is
    the answer to all that is asked about it.
    """

    def answer(path: str, body: bytes) -> Answer:
        url = unquote(urlsplit(path).path)
        if found := re.fullmatch(r"/datasets/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", url):
            return file(*found.groups())
        api = r"/api/datasets/([\w.-]+/[\w.-]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?"
        if found := re.fullmatch(api, url):
            name, what, revision, below = found.groups()
            return about(name, what, revision or "main", (below or "").strip("/"), path, body)
        return _missing("EntryNotFound")

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
            "ETag": f'"{_blob(path)}"',
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
        siblings = [{"rfilename": entry["path"]} for entry in entries]
        record = {"_id": "0", "id": name, "author": name.split("/")[0], "sha": commit_of(folder), "private": False}
        record |= {"gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings}
        return _json(record | {"lastModified": "2026-01-01T00:00:00.000Z", "cardData": card})

    return answer


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


def _missing(code: str) -> Answer:
    return Answer(404, b"{}", JSON | {"X-Error-Code": code})


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode(), JSON)
