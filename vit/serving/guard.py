"""A guard for MLflow's scoring server: no status 500, no stack trace, no echo of the input.

MLflow 3.17 responds with status 500 to a request without a Content-Type or with deeply nested brackets, and repeats the
body or a stack trace in most 400s, before any model code runs (mlflow issue 4897, open since 2021). It offers no hook:
flavor backends, uvicorn command and FastAPI app are fixed, and the app does not exist yet while the model is loaded. So
one function of its module, `invocations`, which the server looks up for every request, is replaced; only in the process
of `mlflow models serve`, and only if its signature is the known one. The replacement hands the parsed rows to the model
without a data frame in between.
"""

import atexit
import inspect
import json
import logging
import sys
import time
from collections.abc import Callable
from functools import partial

from mlflow.exceptions import MlflowException

from vit.serving.prediction_log import PredictionLog
from vit.serving.refusal import Refusal
from vit.serving.requests import JSON, read_request
from vit.serving.settings import Options
from vit.serving.version import ServedVersion

SERVER_APP = "mlflow.pyfunc.scoring_server.app"
KNOWN = ["data", "content_type", "model", "input_schema"]
RESPONSE = ("response", "status", "mimetype")
log = logging.getLogger("vit.serving")

Serving = Callable[[], ServedVersion]  # the version that is served now


def inside_scoring_server() -> bool:
    """Whether MLflow's server is loading the model, rather than a program via `mlflow.pyfunc.load_model`."""
    return SERVER_APP in sys.modules


def at_shutdown(function: Callable[[], None]) -> None:
    """Call `function` when the server ends in order, once it answers requests: its app is made after the model.

    Python's own `atexit` is not enough, as uvicorn ends itself by the signal that it got.
    """
    router = getattr(getattr(sys.modules.get(SERVER_APP), "app", None), "router", None)
    if hasattr(router, "add_event_handler"):
        router.add_event_handler("shutdown", function)
    else:
        atexit.register(function)


def install(serving: Serving, predictions: PredictionLog | None = None) -> None:
    """Replace the server's `invocations` by `guarded`. Raises MlflowException if its signature is unknown."""
    from mlflow.pyfunc import scoring_server as server  # late: the server has already imported it

    known = list(inspect.signature(server.invocations).parameters) == KNOWN
    if not known or server.InvocationsResponse._fields != RESPONSE:
        raise MlflowException(
            "this version of MLflow cannot be guarded by the model; install the one in the model's requirements.txt"
        )
    respond = partial(server.InvocationsResponse, status=200, mimetype=JSON)
    server.invocations = guarded(serving, respond, predictions)


def guarded(serving: Serving, respond: Callable[[str], object], predictions: PredictionLog | None = None) -> Callable:
    """A function with the signature of `invocations`: strict parsing of the body, one sentence for any error.

    The version that is served when the request arrives answers all of it, and `respond` gets the JSON of its
    predictions, which are logged in `predictions`. Raises only Refusal, which becomes the response.
    """

    def invocations(data: bytes, content_type: str | None, model, input_schema):
        began = time.perf_counter()
        try:
            version = serving()
            if len(data) > (most := version.limits.max_bytes):
                raise Refusal(f"the body is larger than {most} bytes; send fewer or smaller images", status=413)
            texts, params = read_request(data, content_type)
            Options.read(params, len(version.classifier.classes))  # before any image is decoded
            answer = version.answer(texts, params)
            body: dict[str, object] = {"predictions": answer.predictions}
            if predictions is not None:
                body["request_id"] = predictions.add(answer, version, time.perf_counter() - began)
            return respond(json.dumps(body))
        except Refusal:
            raise
        except Exception:
            log.exception("a request failed")
            raise Refusal("the server failed to handle this request; its log says why", status=500) from None

    return invocations
