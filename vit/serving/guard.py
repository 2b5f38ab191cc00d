"""In front of MLflow's scoring server: no 500, no trace, no echo of the input.

MLflow 3.17 answers a request without a Content-Type or with endless brackets 500, and repeats the body or a trace in
most 400s, before any code of a model is called (mlflow issue 4897 is open since 2021). It offers no hook for that: the
flavor backends, the uvicorn command and the FastAPI app are fixed, and the app does not exist yet while the model is
loaded. So one function of its module is replaced, `invocations`, which the server looks up for every request; only in
the process of `mlflow models serve`, and only if it still is the function known here.
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
    """Whether MLflow's server is loading the model now, rather than a program with `mlflow.pyfunc.load_model`."""
    return SERVER_APP in sys.modules


def install(limits: Limits, classes: int) -> None:
    """Put `guarded` in front of the server's `invocations`. Raises MlflowException if the server is another one."""
    from mlflow.pyfunc import scoring_server as server  # late: it is there already, and nowhere else needed

    if list(inspect.signature(server.invocations).parameters) != KNOWN:
        raise MlflowException(
            "this MLflow has a server that the model cannot guard; install the one of its requirements.txt"
        )
    server.invocations = guarded(server.invocations, limits, classes)


def guarded(invocations: Callable, limits: Limits, classes: int) -> Callable:
    """`invocations` with a strict reading of the body before it, and one sentence for whatever goes wrong.

    It gets the parsed body, so that the JSON is read once. Raises Refusal alone, which the server makes the answer.
    """

    def answer(data: bytes, content_type: str | None, model, input_schema):
        if len(data) > limits.max_bytes:
            raise Refusal(f"the body is larger than {limits.max_bytes} bytes; send fewer or smaller images", status=413)
        try:
            request = read_request(data, content_type)
            Options.read(request["params"], classes)  # MLflow drops unknown names and repeats wrong values
            return invocations(request, JSON, model, None)  # the schema is met already
        except Refusal:
            raise
        except Exception:
            log.exception("a request failed")
            raise Refusal("the server failed at this request; its log says why", status=500) from None

    return answer
