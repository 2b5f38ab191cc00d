"""Where MLflow's UI shows the runs, and which columns its table opens with.

MLflow opens an experiment on its page for chats and agents until a person switches to "Model training" in the browser.
No tag changes that, but the address does. The columns are a saved view, which MLflow keeps in a tag of the experiment.
"""

import json
from urllib.parse import urlsplit

SHOWN_PARAMS = ("data.source", "split.strategy", "model.name", "train.epochs", "train.lr", "train.seed")
SHOWN_METRICS = ("best_val_accuracy", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_ece", "leakage")
VIEW = "trainings"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` listens


def view(now: int) -> str:
    """The saved view as MLflow's UI writes it; `now` in milliseconds."""
    columns = ["attributes.`Models`", *(f"metrics.`{name}`" for name in SHOWN_METRICS)]
    columns += [f"params.`{name}`" for name in SHOWN_PARAMS]
    state = json.dumps({"selectedColumns": columns})
    return json.dumps({"name": VIEW, "createdAt": now, "updatedAt": now, "state": state})


def runs_page(tracking_uri: str, experiment_id: str) -> str:
    """The address of the table of runs: of the server at `tracking_uri`, else of `mlflow ui` on this machine."""
    parts = urlsplit(tracking_uri)
    server = LOCAL
    if parts.scheme in ("http", "https"):
        host = parts.netloc.rpartition("@")[2]  # without user and password
        server = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
