"""Wait until the registry has the champion, then become MLflow's scoring server of it.

Beside MLFLOW_TRACKING_URI it reads VIT_MODEL, models:/NAME@ALIAS, by default models:/vit@champion; PORT, 8080.
"""

import os
import re
import shlex
import shutil
import sys
import time
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from requests.exceptions import RequestException

FOLDER = Path("/tmp/model")  # ready.py reads the golden images there
PAUSE = 2.0  # seconds
UNKNOWN_ACCOUNT = 401
ABSENT = (400, 403, 404)  # MLflow's status for an alias and for a model that is not there; 403 to an account that reads


def wait_for_version(name: str, alias: str) -> str:
    """The version that the alias points to, as soon as there is one."""
    said = None
    while True:
        try:
            return str(mlflow.MlflowClient().get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if error.get_http_status_code() == UNKNOWN_ACCOUNT:
                sys.exit("error: the registry refuses this account; check MLFLOW_TRACKING_USERNAME and its password")
            reason = "there is none yet" if error.get_http_status_code() in ABSENT else "no answer"
        except RequestException:
            reason = "no answer"
        if reason != said:
            print(f"waiting for {name}@{alias}: {reason}", flush=True)
            said = reason
        time.sleep(PAUSE)


def main() -> None:
    model = os.environ.get("VIT_MODEL", "models:/vit@champion")
    found = re.fullmatch(r"models:/([^/@]+)@([^/@]+)", model)
    if found is None:
        sys.exit(f"error: VIT_MODEL is '{model}'; it must be models:/NAME@ALIAS")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"  # MLflow's own take minutes; here we ask again ourselves
    source = f"models:/{found[1]}/{wait_for_version(*found.groups())}"
    shutil.rmtree(FOLDER, ignore_errors=True)  # of a server that ran here before
    try:
        mlflow.artifacts.download_artifacts(source, dst_path=str(FOLDER))
    except (MlflowException, RequestException, OSError) as error:
        sys.exit(f"error: {source} cannot be downloaded: {str(error).splitlines()[0]}")
    command, env = scoring_server.get_cmd(str(FOLDER), int(os.environ.get("PORT", "8080")), "0.0.0.0")
    arguments = shlex.split(command)
    os.execvpe(arguments[0], arguments, env)  # in place of this process, so that SIGTERM reaches the server


if __name__ == "__main__":
    main()
