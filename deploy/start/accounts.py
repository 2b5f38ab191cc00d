"""Who MLflow's server lets in: accounts by their password, and `serve` only to read.

MLflow itself lets every account create experiments and registered models, of which it is then the owner.
"""

from flask import Response, make_response, request
from mlflow.server.auth import authenticate_request_basic_auth
from werkzeug.datastructures import Authorization


def authenticate() -> Authorization | Response:
    """The account of the current request, or the response that refuses it."""
    found = authenticate_request_basic_auth()
    if isinstance(found, Authorization) and found.username == "serve" and request.method not in ("GET", "HEAD"):
        return make_response("the account serve may only read", 403)
    return found
