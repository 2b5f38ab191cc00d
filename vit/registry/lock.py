"""A lock so that one process at a time moves the champion, also between machines that share a server."""

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from vit.tracking.store import has_own_database, locked

ABANDONED = 60.0  # seconds; moving an alias and writing some tags takes less than one
PAUSE = 0.1  # seconds between two attempts to take the lock


@contextlib.contextmanager
def deciding(client: MlflowClient, name: str) -> Iterator[None]:
    """Hold the lock on the aliases of registered model `name`.

    Processes of one repo use a file lock, which ends with its process. An MLflow server has neither locks nor
    compare-and-set: there the lock is a registered model `name`.lock, because only one of several concurrent creations
    succeeds. A lock left by a killed process is deleted after ABANDONED seconds; if two processes do so at the same
    instant, or a person moves the alias by hand meanwhile, the last write wins.
    """
    with locked():
        if has_own_database():
            yield
            return
        token = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
        _take(client, f"{name}.lock", token)
        try:
            yield
        finally:
            if _holder(client, f"{name}.lock") == token:
                client.delete_registered_model(f"{name}.lock")


def _take(client: MlflowClient, lock: str, token: str) -> None:
    seen, since = None, time.monotonic()
    while not _create(client, lock, token):
        holder = _holder(client, lock)
        if holder != seen:
            seen, since = holder, time.monotonic()
        elif holder is not None and time.monotonic() - since > ABANDONED:
            with contextlib.suppress(MlflowException):  # another process was faster
                client.delete_registered_model(lock)
        time.sleep(PAUSE)


def _create(client: MlflowClient, lock: str, token: str) -> bool:
    try:
        client.create_registered_model(lock, {"holder": token}, "Exists briefly while the champion is moved.")
    except MlflowException as error:
        # The store looks up the model that prevented the creation, which may be deleted by then.
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
            raise
        return False
    return True


def _holder(client: MlflowClient, lock: str) -> str | None:
    try:
        return client.get_registered_model(lock).tags.get("holder", "")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
