"""Pretrained weights from the Hugging Face hub, by its own library: a pinned commit, safetensors, checked digests."""

import logging
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vit.config.files import WEIGHTS
from vit.data.sources.hub_errors import HubError, Repository, explained, require_library
from vit.errors import UserError
from vit.models.published.foreign import json_object
from vit.training.digests import git_blob_hex, sha256_hex
from vit.training.published_images import PROCESSOR, SETTINGS

log = logging.getLogger("vit")

PREFIX = "hf-hub:"
NAMED = re.compile(rf"{PREFIX}(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
PAGE = "README.md"
INDEX, PICKLE = f"{WEIGHTS}.index.json", "pytorch_model.bin"
LISTED = 12  # names in a message
SHARD = re.compile(r"[\w.-]+\.safetensors")
WAY_OUT = "or copy the weights to the folder weights and name the file"


@dataclass(frozen=True)
class HubModel:
    """A model on the hub at one commit; `digests` are those of its files by name.

    If the hub cannot be reached, they are None, and only what an earlier download left in the library's cache is there.
    """

    asked: Repository
    digests: dict[str, str] | None

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.asked.name}@{self.asked.revision}"

    @property
    def called(self) -> str:
        return f"{self.asked.named} '{self.name}'"

    @cached_property
    def about(self) -> dict:
        """Address, licence (None if it names none) and digests of the files of weights."""
        return {
            "url": f"https://huggingface.co/{self.asked.name}/tree/{self.asked.revision}",
            "licence": self._licence(),
            "files": {file.name: sha256_hex(file) for file in self.weights},
        }

    @cached_property
    def weights(self) -> list[Path]:
        """The files of weights in the library's cache, safetensors if there are any. Raises UserError without any."""
        for name in (SETTINGS, PROCESSOR, PAGE):
            self.file(name)  # first, so that a cache with the weights also holds what belongs to them
        for name in (WEIGHTS, INDEX, PICKLE):
            if file := self.file(name):
                return self._shards(file) if name == INDEX else [file]
        if self.digests is None:
            raise UserError(
                f"{self.asked.named}: the hub cannot be reached, and the library's cache does not hold {self.name}; "
                f"check the network, {WAY_OUT}"
            )
        held = ", ".join(sorted(self.digests)[:LISTED])
        raise UserError(
            f"{self.called} has no {WEIGHTS}, {INDEX} or {PICKLE}; it has {held}; use another repository, {WAY_OUT}"
        )

    @cached_property
    def settings(self) -> dict[str, dict]:
        """Those of the repository's settings files that it has, by name."""
        found = {name: file for name in (SETTINGS, PROCESSOR) if (file := self.file(name))}
        return {name: self._read(file) for name, file in found.items()}

    def file(self, name: str) -> Path | None:
        """A file in the library's cache, downloaded if necessary; None if the repository has no such file.

        Raises UserError if the download fails or the file's digest is not that of the hub.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        if self.digests is not None and name not in self.digests:
            return None
        try:
            path = hf_hub_download(
                self.asked.name, name, revision=self.asked.revision, local_files_only=self.digests is None
            )
        except LocalEntryNotFoundError as error:
            if self.digests is None:
                return None
            raise _failure(error, self.asked) from error
        except Exception as error:
            raise _failure(error, self.asked) from error
        _require_intact(Path(path), (self.digests or {}).get(name), f"{self.called}: {name}")
        return Path(path)

    def _read(self, file: Path) -> dict:
        return json_object(file, self.called)

    def _licence(self) -> str | None:
        """From the head of the model's page, which also the cache holds, unlike what the hub says about the model."""
        from huggingface_hub.repocard import metadata_load

        page = self.file(PAGE)
        try:
            known = (metadata_load(page) if page else None) or {}
        except Exception as error:  # any error of YAML, in a text that is somebody else's
            log.warning(f"the licence of {self.asked.name} is not readable ({type(error).__name__})")
            return None
        licence = known.get("license_name") or known.get("license")
        return ", ".join(map(str, licence)) if isinstance(licence, list) else licence

    def _shards(self, index: Path) -> list[Path]:
        places = self._read(index).get("weight_map")
        names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
        if not names:
            raise UserError(f"{self.called}: {INDEX} names no files; use another repository, {WAY_OUT}")
        if wrong := [name for name in names if not SHARD.fullmatch(name)]:
            raise UserError(f"{self.called}: {INDEX} names '{wrong[0]}', which is not a file of weights")
        files = [(name, self.file(name)) for name in names]
        if missing := [name for name, file in files if file is None]:
            raise UserError(
                f"{self.called}: {', '.join(missing)} of {INDEX} is missing; use another repository, {WAY_OUT}"
            )
        return [file for _, file in files if file is not None]


def find_model(named: str, parameter: str, may_move: bool = False) -> HubModel:
    """The model that `hf-hub:OWNER/NAME@COMMIT` names; without the hub what the library's cache holds of that commit.

    Raises UserError naming `parameter` if the hub has no such model or refuses it, or the revision is not a commit;
    unless `may_move`, when it becomes the current commit.
    """
    require_library("huggingface_hub", f"{parameter} '{named}'")
    asked = _asked(named, parameter)
    _quieten()
    try:
        info = _ask(asked)
    except HubError as failure:
        if failure.reason == "unreachable" and asked.is_pinned:
            log.warning(f"{failure}; using what the library's cache holds")
            return HubModel(asked, None)
        raise UserError(f"{failure}{_instead(asked, failure)}") from failure
    if info.sha != asked.revision and not may_move:
        is_what = "has no commit" if asked.revision is None else f"names '{asked.revision}', which may move"
        raise UserError(
            f"{parameter} '{named}' {is_what}; write {PREFIX}{asked.name}@{info.sha}, which is the commit now"
        )
    pinned = Repository(asked.kind, asked.name, info.sha, asked.named, asked.pinned, asked.way_out)
    return HubModel(pinned, {file.rfilename: _digest(file) for file in info.siblings or ()})


def _asked(named: str, parameter: str) -> Repository:
    found = NAMED.fullmatch(named)
    if found is None:
        raise UserError(f"{parameter} '{named}' is not the name of a model on the hub; write {PREFIX}OWNER/NAME@COMMIT")
    return Repository("model", found["name"], found["revision"], parameter, "write", WAY_OUT)


def _ask(asked: Repository):
    from huggingface_hub import HfApi, constants

    try:
        return HfApi().model_info(
            asked.name, revision=asked.revision, files_metadata=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )
    except Exception as error:
        raise _failure(error, asked) from error


def _failure(error: Exception, asked: Repository) -> HubError:
    failure = explained(error, asked)
    return HubError(f"{asked.named}: {failure}", failure.reason)


def _instead(asked: Repository, failure: HubError) -> str:
    """The commit that exists, if the one that was asked for does not."""
    if failure.reason != "moved":
        return ""
    try:
        info = _ask(Repository(asked.kind, asked.name, None, asked.named, asked.pinned, asked.way_out))
    except HubError:
        return ""
    return f", now {PREFIX}{asked.name}@{info.sha}"


def _quieten() -> None:
    """No progress bars except on a terminal; no log lines, because they hold addresses with passwords."""
    import huggingface_hub

    huggingface_hub.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()


def _digest(file) -> str:
    """The SHA-256 of a large file, else git's SHA-1 of a small one."""
    return file.lfs.sha256 if file.lfs else file.blob_id


def _require_intact(path: Path, digest: str | None, called: str) -> None:
    """Raises UserError, and deletes the file so that it is downloaded again, if its digest is another."""
    blob = path.resolve()
    expected = digest or blob.name  # in the library's cache a file is named by its digest
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        found = sha256_hex(blob)
    elif re.fullmatch(r"[0-9a-f]{40}", expected):
        found = git_blob_hex(blob)
    else:
        return  # a cache without links, and no hub to ask
    if found != expected:
        blob.unlink()
        path.unlink(missing_ok=True)
        raise UserError(
            f"{called} arrived damaged, with digest {found[:12]} instead of {expected[:12]}; it was deleted, run again"
        )
