"""Exit 0 if the server on this machine predicts a golden image of its model as `evaluate` did, else 1 with the reason.

The golden images are those of the version that the server started with. If it follows the alias to another version,
which it proves itself before it serves it, any prediction will do.
"""

import base64
import json
import os
import sys
import urllib.request
from pathlib import Path

FOLDER = Path("/tmp/model")
TOLERANCE = 1e-5  # of a probability; that of vit.serving.golden
ORIGIN = "registered_model_meta"  # MLflow's note of name and version beside a model from the registry


def ask(image: Path) -> dict:
    """The server's prediction for an image file."""
    body = json.dumps({"inputs": [base64.b64encode(image.read_bytes()).decode()]}).encode()
    address = f"http://127.0.0.1:{os.environ.get('PORT', '8080')}/invocations"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=8) as response:
        return json.load(response)["predictions"][0]


def problem() -> str | None:
    recorded = json.loads((FOLDER / "golden/probabilities.json").read_text(encoding="utf-8"))
    file, expected = min(recorded.items())
    prediction = ask(FOLDER / "golden" / file)
    is_first = f"model_version: '{prediction['model_version']}'" in (FOLDER / ORIGIN).read_text(encoding="utf-8")
    published = "precision: float32" in (FOLDER / "MLmodel").read_text(encoding="utf-8")
    is_exact = published and "bfloat16" not in os.environ.get("MLFLOW_PYFUNC_INFERENCE_CONFIG", "")
    gap = max(abs(prediction["probabilities"].get(name, 0.0) - value) for name, value in expected.items())
    if is_first and is_exact and gap > TOLERANCE:
        return f"a probability of golden/{file} differs by {gap:.1g} from what `evaluate` computed"
    return None


if __name__ == "__main__":
    try:
        sys.exit(problem())
    except (OSError, KeyError, IndexError, ValueError) as error:
        sys.exit(f"not ready: {error}")
