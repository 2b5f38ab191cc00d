"""Become MLflow's server with authentication, after making its two accounts: admin, and serve, which may only read.

Reads VIT_DATABASE, a URI without password; ARTIFACTS, a folder or s3://...; ALLOWED_HOSTS, the names that clients use;
ADMIN_PASSWORD, SERVE_PASSWORD, MLFLOW_FLASK_SERVER_SECRET_KEY, and DATABASE_PASSWORD if the database asks for one.
A password that changed is changed in the database too.
"""

import configparser
import os
import sys
from pathlib import Path

from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import make_url

SETTINGS = Path("/tmp/basic_auth.ini")


def required(name: str) -> str:
    return os.environ.get(name) or sys.exit(f"error: {name} is not set")


def make_accounts(database: str, passwords: dict[str, str]) -> None:
    """Make the accounts in `passwords` that do not exist, and set the passwords of the others."""
    store = SqlAlchemyStore()
    store.init_db(database)
    for name, password in passwords.items():
        if not store.has_user(name):
            store.create_user(name, password, is_admin=name == "admin")
        elif not store.authenticate_user(name, password):
            store.update_user(name, password=password)


def main() -> None:
    url = make_url(required("VIT_DATABASE"))
    if password := os.environ.pop("DATABASE_PASSWORD", None):
        url = url.set(password=password)
    database = url.render_as_string(hide_password=False)
    passwords = {"admin": required("ADMIN_PASSWORD"), "serve": required("SERVE_PASSWORD")}
    required("MLFLOW_FLASK_SERVER_SECRET_KEY")
    make_accounts(database, passwords)
    settings = configparser.ConfigParser(interpolation=None)
    settings["mlflow"] = {
        "default_permission": "READ",
        "database_uri": database.replace("%", "%%"),  # MLflow interpolates
        "admin_username": "admin",
        "authorization_function": "accounts:authenticate",
    }
    SETTINGS.touch(mode=0o600)
    with SETTINGS.open("w", encoding="utf-8") as file:
        settings.write(file)
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(SETTINGS)
    os.environ["MLFLOW_BACKEND_STORE_URI"] = database  # arguments are seen by every user of the machine
    os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"] = passwords["admin"]
    arguments = ["--app-name", "basic-auth", "--host", "0.0.0.0", "--port", os.environ.get("PORT", "5000")]
    arguments += ["--artifacts-destination", required("ARTIFACTS"), "--allowed-hosts", required("ALLOWED_HOSTS")]
    os.execvp("mlflow", ["mlflow", "server", *arguments])


if __name__ == "__main__":
    main()
