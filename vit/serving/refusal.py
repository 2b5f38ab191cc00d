"""The response to an invalid request: a status and one sentence that says what to do."""

import json

from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException


class Refusal(MlflowException):
    """A client error. `status` is the HTTP status, 4xx; the sentence never repeats the input."""

    def __init__(self, sentence: str, status: int = 400):
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)
        self.sentence, self.status = sentence, status

    def serialize_as_json(self) -> str:
        return json.dumps({"error_code": self.error_code, "message": self.sentence})

    def get_http_status_code(self) -> int:
        return self.status
