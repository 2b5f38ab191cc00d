"""Who started which training from the Studio: a browser is known again after a reload by a cookie."""

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from filelock import FileLock

from vit.files import read_json, write_json

COOKIE = "vit_studio"
SECONDS = 365 * 24 * 3600
KEPT = Path(".vit/studio/started.json")
MOST = 500  # trainings that are remembered


def introduce() -> None:
    """Give this browser a cookie if it has none. Other browsers cannot guess it, and no address holds it."""
    if COOKIE not in st.context.cookies:
        attributes = f"path=/; max-age={SECONDS}; SameSite=Strict"
        st.html(f"<script>document.cookie = '{COOKIE}={_new()}; {attributes}'</script>", unsafe_allow_javascript=True)


def this_browser() -> str:
    """A digest that tells browsers apart; the cookie itself is stored nowhere."""
    return hashlib.sha256((st.context.cookies.get(COOKIE) or _new()).encode()).hexdigest()


def _new() -> str:
    """What the cookie becomes: the same for the whole session, as the session sees only cookies that it began with."""
    return st.session_state.setdefault(COOKIE, secrets.token_urlsafe(24))


def remember(names: Sequence[str], owner: str, root: Path) -> None:
    """Note that `owner` started these trainings; whoever started one last owns it."""
    if not names:
        return
    (root / KEPT).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root / KEPT.with_suffix(".lock")):
        known = _owners(root)
        for name in names:
            known.pop(name, None)
            known[name] = owner
        write_json(root / KEPT, dict(list(known.items())[-MOST:]))


def is_owner(name: str, owner: str, root: Path) -> bool:
    """Whether it was this browser that started a training."""
    return _owners(root).get(name) == owner


def _owners(root: Path) -> dict[str, str]:
    try:
        return read_json(root / KEPT)
    except (OSError, ValueError):  # nothing was started yet
        return {}
