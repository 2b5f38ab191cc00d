"""The corpus of hostile requests against MLflow's own server."""

import base64
import json
import socket
from contextlib import suppress
from io import BytesIO

import pytest

from tests.local_server import Answer, serving
from tests.serving.corpus import NAME, Request, corpus, of, text
from tests.serving.pictures import good
from vit.errors import UserError

pytestmark = pytest.mark.long

CORPUS = corpus()


def is_echo(sentence: str, body: bytes) -> bool:
    """Whether 20 characters of the body, or its marked word, stand in the sentence."""
    sent = body.decode("latin-1")
    return NAME in sentence or any(sentence[at : at + 20] in sent for at in range(len(sentence) - 19))


def expected(served, request: Request) -> list[dict] | None:
    """What a right answer says, from the classifier in this process; None for a refusal."""
    if not request.either:
        return request.files and served.classifier.classify([BytesIO(file) for file in request.files])
    try:
        (image,) = json.loads(request.body)["inputs"]
        return served.classifier.classify([BytesIO(base64.b64decode(image))])
    except UserError:
        return None


def test_the_corpus_holds_at_least_200_requests_of_30_causes():
    assert len(CORPUS) >= 30
    assert len({(request.body, request.content_type) for requests in CORPUS.values() for request in requests}) >= 200


@pytest.mark.parametrize("cause", CORPUS)
def test_a_hostile_request_is_refused_in_one_sentence_or_answered_right(served, cause):
    for request in CORPUS[cause]:
        status, answer = served.post(request.body, request.content_type, request.headers)
        right = expected(served, request)
        if right is None:
            assert 400 <= status < 500, (status, answer[:500])
            sentence = json.loads(answer)["message"]
            assert 20 < len(sentence) < 250 and "\n" not in sentence, sentence
            assert not is_echo(sentence, request.body), sentence
            assert set(json.loads(answer)) == {"error_code", "message"}
        else:
            assert status == 200, answer[:500]
            predictions = json.loads(answer)["predictions"]
            assert [one["label"] for one in predictions] == [one["label"] for one in right]
            for one, other in zip(predictions, right, strict=True):
                assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_no_request_of_the_corpus_left_a_trace_or_an_image_in_the_log(served):
    log = served.project.read("logs/server.txt")
    assert "Traceback" not in log and text(good())[:40] not in log


def send(port: int, request: bytes) -> bytes:
    """The first bytes of the answer to a request that is no proper HTTP, after which the client is done."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with suppress(OSError):  # the server may have answered and hung up already
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(1000)


HEAD = b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: 100\r\n\r\n{",
        HEAD + b"Content-Length: -1\r\n\r\n{}",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(99),
        b"GET /invocations HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"POST /etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
)
def test_what_is_no_proper_http_is_refused_or_dropped(served, request_):
    answer = send(served.port, request_)
    assert answer == b"" or answer.split()[1][:1] == b"4", answer
    assert b"Traceback" not in answer


def test_no_request_makes_the_server_open_an_address_or_a_path(served, tmp_path):
    (tmp_path / "a.png").write_bytes(good())
    asked = []
    with serving(lambda path, _: asked.append(path) or Answer(200, good())) as address:
        for place in (f"{address}/a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").as_uri()):
            for body in (of(place), json.dumps({"inputs": {"image": place}}).encode(), json.dumps(place).encode()):
                assert served.post(body)[0] == 400
            assert served.post(f"image\n{place}".encode(), "text/csv")[0] == 400
    assert asked == []


def test_after_all_that_a_good_request_is_answered_right(served):
    (prediction,) = served.ask(good())
    (right,) = served.classifier.classify([BytesIO(good())])
    assert prediction["probabilities"] == pytest.approx(right["probabilities"], abs=1e-5)
