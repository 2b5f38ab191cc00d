"""Nothing is shown to anybody before they have said who they are, where others than this machine can reach the Studio.

It decides by the address that the server really listens on, so it holds for `streamlit run` too.
"""

import os
import threading
import time
from collections.abc import Callable

import streamlit as st

from studio.text import literal
from vit.exposure import PASSWORD, PROXY_HEADER, USERS, exposure_problem, is_password

PAUSE = 1.0  # seconds for each wrong password; one is tried at a time, whoever tries
LET_IN = "let_in"
ONE_AT_A_TIME = threading.Lock()


def hindrance() -> Callable[[], None] | None:
    """What to show to a person who may not use the Studio, or not yet; None for one who may."""
    has_login = _has_login()
    problem = exposure_problem(st.get_option("server.address"), has_login=has_login)
    if problem is not None:
        return lambda: _refuse(f"The Studio shows nothing: {problem}.")
    if has_login:
        return _login_hindrance()
    if header := os.environ.get(PROXY_HEADER):
        missing = not st.context.headers.get(header)
        return (lambda: _refuse(f"Come through the proxy: the request has no header {header}.")) if missing else None
    return _ask_for_password if os.environ.get(PASSWORD) and not st.session_state.get(LET_IN) else None


def _has_login() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def _login_hindrance() -> Callable[[], None] | None:
    if not st.user.is_logged_in:
        return _offer_login
    known = {one.strip().lower() for one in os.environ[USERS].split(",")}
    return None if str(st.user.email).lower() in known else _offer_logout


def _offer_login() -> None:
    st.title("ViT Studio")
    st.button("Log in", on_click=st.login, type="primary")


def _offer_logout() -> None:
    st.title("ViT Studio")
    st.button("Log out", on_click=st.logout)
    _refuse(f"{st.user.email} may not use this Studio; its owner names people in {USERS}.")


def _ask_for_password() -> None:
    st.title("ViT Studio")
    with st.form("password"):
        typed = st.text_input("Password", type="password", autocomplete="current-password", max_chars=1000)
        if st.form_submit_button("Open"):
            with ONE_AT_A_TIME:
                is_right = is_password(typed)
                if not is_right:
                    time.sleep(PAUSE)
            if is_right:
                st.session_state[LET_IN] = True
                st.rerun()
            st.error("Wrong password.")


def _refuse(sentence: str) -> None:
    st.error(literal(sentence))
