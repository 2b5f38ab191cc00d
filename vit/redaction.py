"""Keeps secrets out of terminals, logs and stores."""

import os
import re
from urllib.parse import unquote

HIDDEN = "***"
SECRET_NAME = re.compile(
    r"password|passwd|secret|token|credential|api_?key|access_?key|account_?key|_key$", re.IGNORECASE
)
SHORTEST = 6  # characters: a shorter value would also hide words that are not secret

_SCHEME = r"\b[A-Za-z][A-Za-z0-9+.-]*://"
# Up to the last @: a password may hold unquoted slashes and at signs. Without a colon, or with a port after it, there
# is only a user, which ends before the first slash.
_USER = re.compile(rf"({_SCHEME})(?:[^\s/:'\"<>]*:(?!\d+[/?#])[^\s'\"<>]*|[^\s/?#'\"<>]*)@")
_QUERY = re.compile(rf"({_SCHEME}[^\s?'\"<>]*)\?[^\s'\"<>)]+")
_HEADER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_CREDENTIALS = re.compile(rf"{_SCHEME}([^\s/?#@]*):([^\s]*)@")


def redacted(text: str) -> str:
    """`text` without users, passwords and queries of URIs, HTTP credentials, and the secrets of the environment."""
    for secret in _secrets():
        text = text.replace(secret, HIDDEN)
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1?{HIDDEN}", text)
    return _HEADER.sub(rf"\1 {HIDDEN}", text)


def _secrets() -> list[str]:
    """Values of variables whose names mark them as secret, and passwords in URIs; longest first."""
    values = set()
    for name, value in os.environ.items():
        if SECRET_NAME.search(name):
            values.add(value)
        for match in _CREDENTIALS.finditer(value):
            values |= {match[2], unquote(match[2])}
    return sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True)
