"""A guard for MLflow's scoring server: no status 500, no stack trace, no echo of the input.

MLflow 3.17 responds with status 500 to a request without a Content-Type or with deeply nested brackets, and repeats the
body or a stack trace in most 400s, before any model code runs (mlflow issue 4897, open since 2021). It offers no hook:
flavor backends, uvicorn command and FastAPI app are fixed, and the app does not exist yet while the model is loaded. So
one function of its module, `invocations`, which the server looks up for every request, is replaced; only in the process
of `mlflow models serve`, and only if its signature is the known one.
"""

import inspect
import logging
import sys
from collections.abc import Callable

from mlflow.exceptions import MlflowException

from vit.serving.refusal import Refusal
from vit.serving.requests import JSON, read_request
from vit.serving.settings import Limits, Options

SERVER_APP = "mlflow.pyfunc.scoring_server.app"
KNOWN = ["data", "content_type", "model", "input_schema"]
log = logging.getLogger("vit.serving")


def inside_scoring_server() -> bool:
    """Whether MLflow's server is loading the model, rather than a program via `mlflow.pyfunc.load_model`."""
    return SERVER_APP in sys.modules


def install(limits: Limits, classes: int) -> None:
    """Wrap the server's `invocations` with `guarded`. Raises MlflowException if its signature is unknown."""
    from mlflow.pyfunc import scoring_server as server  # late: the server has already imported it

    if list(inspect.signature(server.invocations).parameters) != KNOWN:
        raise MlflowException(
            "this version of MLflow cannot be guarded by the model; install the one in the model's requirements.txt"
        )
    server.invocations = guarded(server.invocations, limits, classes)


def guarded(invocations: Callable, limits: Limits, classes: int) -> Callable:
    """`invocations` after strict parsing of the body, with one sentence for any error.

    It receives the parsed body, so that JSON is parsed once. Raises only Refusal, which becomes the response.
    """

    def answer(data: bytes, content_type: str | None, model, input_schema):
        if len(data) > limits.max_bytes:
            raise Refusal(f"the body is larger than {limits.max_bytes} bytes; send fewer or smaller images", status=413)
        try:
            request = read_request(data, content_type)
            Options.read(request["params"], classes)  # MLflow ignores unknown names and echoes wrong values
            return invocations(request, JSON, model, None)  # the schema was checked already
        except Refusal:
            raise
        except Exception:
            log.exception("a request failed")
            raise Refusal("the server failed to handle this request; its log says why", status=500) from None

    return answer
