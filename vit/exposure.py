"""Who may reach a server of ours: this machine alone, or others with a password, through a proxy or after a login."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from ipaddress import ip_address

PASSWORD = "VIT_STUDIO_PASSWORD"
PROXY_HEADER = "VIT_STUDIO_PROXY_HEADER"  # name of the header with the user that a proxy has let in
USERS = "VIT_STUDIO_USERS"  # e-mail addresses, with commas, that may log in by the provider in .streamlit/secrets.toml
SHORTEST = 12  # characters of a password
WAYS = (
    f"set a password of {SHORTEST} characters or more in the environment variable {PASSWORD}, or name the header that "
    "your proxy sets (`--proxy-header X-Forwarded-User`)"
)


def is_loopback(host: str | None) -> bool:
    """Whether a server that listens on `host` is reached from this machine alone; None is every network."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "0.0.0.0").is_loopback
    except ValueError:
        return False


def exposure_problem(host: str | None, env: Mapping[str, str] = os.environ, has_login: bool = False) -> str | None:
    """Why the Studio must not show anything on `host`, in one line; None if it may.

    `has_login`: a provider is configured in .streamlit/secrets.toml.
    """
    password = env.get(PASSWORD)
    if password is not None and len(password) < SHORTEST:
        return f"the password in {PASSWORD} is shorter than {SHORTEST} characters"
    if has_login and not env.get(USERS):
        return f"{USERS} does not say who may log in; set it to their e-mail addresses, with commas between"
    if is_loopback(host) or password or env.get(PROXY_HEADER) or has_login:
        return None
    return f"others can reach {host or 'this address'}; {WAYS}"


def is_password(typed: str, env: Mapping[str, str] = os.environ) -> bool:
    """Whether it is the password; the time it takes tells nothing about how much of it is right."""
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (typed, env[PASSWORD])]
    return hmac.compare_digest(*digests)
