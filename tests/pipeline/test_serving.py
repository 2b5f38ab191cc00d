"""The champion behind `mlflow models serve`, `vit predict` and the MLflow UI."""

import base64
import csv
import json
import socket
import time
import urllib.error
import urllib.request

import pytest

from tests.conftest import Project, documented, free_port


@pytest.fixture(scope="module")
def address(first_repro):
    project, port = first_repro[0], free_port()
    logging = documented("MLFLOW_PYFUNC_INFERENCE_CONFIG='{\"log_predictions").replace('s"}', 's", "log_seconds": 1}')
    with project.running(f"env {logging} --port {port}", f"http://127.0.0.1:{port}/ping"):
        yield f"http://127.0.0.1:{port}/invocations"


@pytest.fixture(scope="module")
def predictions(first_repro) -> list[dict]:
    with (first_repro[0].folder / "evaluation/predictions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def encoded(project, row: dict) -> str:
    return base64.b64encode((project.folder / "data/raw" / row["path"]).read_bytes()).decode()


def post(address: str, body: str, content_type: str = "application/json") -> tuple[int, dict]:
    request = urllib.request.Request(address, body.encode(), {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


SHAPES = {
    "dataframe_split": lambda image: json.dumps({"dataframe_split": {"columns": ["image"], "data": [[image]]}}),
    "dataframe_records": lambda image: json.dumps({"dataframe_records": [{"image": image}]}),
    "inputs": lambda image: json.dumps({"inputs": [image]}),
    "inputs by name": lambda image: json.dumps({"inputs": {"image": [image]}}),
    "instances": lambda image: json.dumps({"instances": [{"image": image}]}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_payload_shape_is_answered_with_what_evaluate_computed(project, address, predictions, shape):
    row = predictions[7]
    status, answer = post(address, SHAPES[shape](encoded(project, row)))
    assert status == 200
    assert status == 200, answer
    (prediction,) = answer["predictions"]
    assert prediction["label"] == row["prediction"]
    assert prediction["confidence"] == pytest.approx(float(row["confidence"]), abs=1e-5)
    expected = {name: float(row[f"p_{name}"]) for name in map(str, range(10))}
    assert prediction["probabilities"] == pytest.approx(expected, abs=1e-5)


def test_params_work_and_the_version_of_the_champion_is_named(project, address, predictions):
    body = {"inputs": [encoded(project, predictions[7])], "params": {"top_k": 2, "threshold": 1.0, "explain": True}}
    status, answer = post(address, json.dumps(body))
    assert status == 200, answer
    (prediction,) = answer["predictions"]
    assert status == 200 and prediction["model_version"] == "1"
    assert prediction["label"] == "unknown" and len(prediction["probabilities"]) == 2
    assert base64.b64decode(prediction["explanation"]).startswith(b"\x89PNG")


def test_mlflow_models_predict_answers_as_evaluate_in_a_folder_that_does_not_know_the_repo(
    project, predictions, tmp_path
):
    rows = predictions[:50]
    (tmp_path / "in.json").write_text(json.dumps({"inputs": [encoded(project, row) for row in rows]}))
    command = documented("mlflow models serve").replace("serve", "predict")
    store = f"sqlite:///{project.folder}/mlflow.db"
    elsewhere = Project(tmp_path, project.env)
    elsewhere.run(f"{command} -t json -i in.json -o out.json", MLFLOW_TRACKING_URI=store)
    answers = json.loads((tmp_path / "out.json").read_text())["predictions"]
    for answer, row in zip(answers, rows, strict=True):
        expected = {name: float(row[f"p_{name}"]) for name in map(str, range(10))}
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-5)


def test_csv_is_answered_too_and_several_images_at_once(project, address, predictions):
    rows = predictions[:30]
    body = "\n".join(["image", *(encoded(project, row) for row in rows)])
    status, answer = post(address, body, "text/csv")
    assert status == 200
    assert [one["label"] for one in answer["predictions"]] == [row["prediction"] for row in rows]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("not base64!", "row 0: not base64"),
        (base64.b64encode(b"hello").decode(), "not an image"),
        ("", "not an image"),
    ],
)
def test_a_body_that_is_no_image_is_refused_with_400_and_a_reason_without_a_trace(address, image, reason):
    status, answer = post(address, json.dumps({"inputs": [image]}))
    assert status == 400
    assert reason in answer["message"]
    assert "Traceback" not in json.dumps(answer)


def test_an_empty_list_of_images_is_refused(address):
    status, answer = post(address, json.dumps({"inputs": []}))
    assert status == 400 and "no images" in answer["message"]


def test_the_curl_command_of_the_readme_is_answered(project, address):
    command = documented("curl")
    assert "http://127.0.0.1:5000/invocations" in command
    answer = project.run(command.replace("http://127.0.0.1:5000/invocations", address)).stdout
    assert json.loads(answer)["predictions"][0]["label"] == "3"


def test_what_was_answered_stands_beside_val_and_in_the_metrics_for_prometheus(project, address, predictions):
    bodies = [json.dumps({"inputs": [encoded(project, row)]}) for row in predictions[:9]]
    assert [post(address, body)[1].keys() for body in bodies] == [{"predictions", "request_id"}] * 9
    time.sleep(2)  # until the server has written them
    printed = project.run(documented("vit monitor")).stdout
    assert printed.startswith("version 1, windows of 500") and "labels" in printed and "confidence" in printed
    command, port = documented("vit monitor --serve"), free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    with project.running(command.replace("9105", str(port)), url), urllib.request.urlopen(url) as page:
        assert 'vit_requests_total{version="1"}' in page.read().decode()


def test_a_port_in_use_is_named_and_the_exit_status_is_not_zero(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = project.run(f"{documented('mlflow models serve')} --port {taken.getsockname()[1]}", succeeds=False)
    assert "address already in use" in refused.stdout + refused.stderr


def test_predict_prints_label_and_confidence_of_the_champion(project):
    printed = project.run(documented("vit predict data/raw/3/")).stdout
    assert printed.startswith("data/raw/3/") and ": 3 (" in printed and printed.strip().endswith("%)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("data/raw/3/nothing.png", "data/raw/3/nothing.png: no such file"),
        ("README.md", "README.md: not an image"),
        ("--model models:/vit@nobody data/raw.json", "no model 'models:/vit@nobody' in the registry"),
        ("--model nowhere data/raw.json", "no trained model in nowhere"),
    ],
)
def test_predict_ends_a_mistake_in_one_line(project, arguments, message):
    refused = project.run(f"vit predict {arguments}", succeeds=False)
    assert refused.stderr.startswith("error: ") and message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "Traceback" in project.read("logs/vit.log")
