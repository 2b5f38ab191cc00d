"""One process at a time moves the champion, also where several machines share a server."""

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from vit.tracking.store import has_own_database, locked

ABANDONED = 60.0  # seconds; whoever holds the lock moves an alias and writes some tags, which takes less than one
PAUSE = 0.1  # seconds between two looks at a lock that another process holds


@contextlib.contextmanager
def deciding(client: MlflowClient, name: str) -> Iterator[None]:
    """Hold the right to move the aliases of registered model `name`.

    Processes of one repo take turns by a file lock, which ends with its process. A server knows neither locks nor
    "set if it is still": there the lock is a registered model `name`.lock, as of all who create it at once only one
    succeeds. One that a killed process left is deleted after ABANDONED seconds; should two processes find it so in
    the same instant, or a person move the alias by hand in between, the later one wins.
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
        client.create_registered_model(lock, {"holder": token}, "Held while the champion is moved; gone in a moment.")
    except MlflowException as error:
        # The store asks again for what kept it from creating the model, which may be deleted by then.
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
