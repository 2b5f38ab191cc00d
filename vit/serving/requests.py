"""Strict parsing of a request body into rows of base64 text and params.

MLflow's own parsers echo the input or a stack trace in errors, ignore unknown fields, and turn some bodies into a
status 500; so this module reads bodies in their place.
"""

import json

from vit.serving.refusal import Refusal

COLUMN = "image"
JSON, CSV = "application/json", "text/csv"
FIELDS = ("dataframe_split", "dataframe_records", "instances", "inputs")
EXAMPLE = 'send {"inputs": ["<base64 of an image file>"]}'


def read_request(body: bytes, content_type: str | None) -> tuple[list[str], dict]:
    """The rows of base64 text in a body, and its params.

    Raises Refusal unless it is such a table in JSON (one of FIELDS, as documented by MLflow) or CSV, with status 415
    for another media type. The content of texts and params is not checked.
    """
    if _media_type(content_type) == CSV:
        texts, params = _csv_column(body), {}
    else:
        payload = _parse(body)
        params = payload.pop("params", None) or {}
        if not isinstance(params, dict):
            raise Refusal('"params" is not an object; send for example {"inputs": [...], "params": {"top_k": 3}}')
        texts = _column(payload)
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.isascii():
            raise Refusal(f"row {row}: not base64; every row is one string, the base64 of an image file")
    return texts, params


def _media_type(content_type: str | None) -> str:
    name, *parameters = (part.strip().lower() for part in (content_type or "").split(";"))
    if name not in (JSON, CSV):
        raise Refusal(
            f"the Content-Type is neither {JSON} nor {CSV}; set one of them and send the body in that format",
            status=415,
        )
    if any(parameter.replace('"', "") not in ("", "charset=utf-8") for parameter in parameters):
        raise Refusal(f"the Content-Type has a parameter that is not charset=utf-8; send only {name}", status=415)
    return name


def _parse(body: bytes) -> dict:
    try:
        payload = json.loads(body, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError):  # bad syntax or UTF-8, huge numbers, deep nesting
        raise Refusal(f"the body is not valid JSON; {EXAMPLE}") from None
    if not isinstance(payload, dict):
        raise Refusal(f"the body is JSON but not an object; {EXAMPLE}")
    return payload


def _object(pairs: list[tuple[str, object]]) -> dict:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise Refusal("an object in the body has the same key twice; send every key once")
    return keys


def _no_number(_: str) -> None:
    raise Refusal("the body contains NaN or Infinity, which are not valid JSON; send numbers")


def _column(payload: dict) -> list:
    """The values of the single column, from any of FIELDS."""
    if len(payload) != 1 or next(iter(payload)) not in FIELDS:
        raise Refusal(f'the body needs exactly one of {", ".join(FIELDS)}, and optionally "params"; {EXAMPLE}')
    field, table = payload.popitem()
    if field == "dataframe_split":
        return _split_column(table)
    if isinstance(table, dict):
        _check_columns(table)
        table = table[COLUMN]
        table = [table] if isinstance(table, str) else table
    if not isinstance(table, list):
        raise Refusal(f'"{field}" is not a list of images; {EXAMPLE}')
    return [_cell(row) for row in table]


def _cell(row: object) -> object:
    if isinstance(row, dict):
        _check_columns(row)
        return row[COLUMN]
    return row[0] if isinstance(row, list) and len(row) == 1 else row


def _split_column(table: object) -> list:
    if not isinstance(table, dict) or not {"columns", "data"} <= table.keys() <= {"columns", "data", "index"}:
        raise Refusal(f'"dataframe_split" is not an object with "columns" and "data"; fix it or {EXAMPLE}')
    _check_columns(table["columns"])
    data = table["data"]
    if not isinstance(data, list) or not all(isinstance(row, list) and len(row) == 1 for row in data):
        raise Refusal('"data" of "dataframe_split" is not a list of rows with one value each; send [["<base64>"], ...]')
    return [row[0] for row in data]


def _csv_column(body: bytes) -> list:
    """Parse a single CSV column; only data URLs need quotes, because they contain a comma."""
    try:
        lines = body.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Refusal(
            "the body is not CSV in UTF-8; send a line `image`, then one base64-encoded image per line"
        ) from None
    header, *cells = [_csv_cell(line.strip()) for line in lines if line.strip()] or [None]
    _check_columns([header])
    return cells


def _csv_cell(line: str) -> str:
    quoted = len(line) > 1 and line[0] == line[-1] == '"'
    cell = line[1:-1] if quoted else line
    if '"' in cell or ("," in cell and not quoted):
        raise Refusal("a line of the CSV is not one cell; send a line `image`, then one base64-encoded image per line")
    return cell


def _check_columns(names: object) -> None:
    if not isinstance(names, (list, dict)) or list(names) != [COLUMN]:
        raise Refusal(f'the table must have exactly one column; call it "{COLUMN}"')
