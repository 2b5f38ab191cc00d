"""Requests that a server on the internet gets, by cause: each must be refused in one sentence or answered right."""

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.serving import pictures
from tests.serving.pictures import WORD, good

JSON, CSV = "application/json", "text/csv"
NAME = WORD.decode()
FIELDS = ("dataframe_split", "dataframe_records", "instances", "inputs")


@dataclass(frozen=True)
class Request:
    """A body for POST /invocations.

    `files` are the images whose answers are right, in order; None where nothing but a refusal is. With `either`, the
    classifier decides: what it cannot read must be refused.
    """

    body: bytes
    content_type: str | None = JSON
    files: tuple[bytes, ...] | None = None
    either: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def text(file: bytes) -> str:
    return base64.b64encode(file).decode()


def of(*values, **more) -> bytes:
    """The plain shape: values of `inputs`, and other fields beside it."""
    return json.dumps({"inputs": list(values), **more}).encode()


def table(shape: str, rows: list, column: str = "image") -> bytes:
    records = [{column: row} for row in rows]
    whole = {
        "dataframe_split": {"columns": [column], "data": [[row] for row in rows]},
        "dataframe_records": records,
        "instances": records,
        "inputs": {column: rows},
    }
    return json.dumps({shape: whole[shape]}).encode()


def raw(*bodies: object, content_type: str | None = JSON) -> list[Request]:
    made = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
    return [Request(body, content_type) for body in made]


def uploads(files: list[bytes]) -> list[Request]:
    return [Request(of(text(file))) for file in files]


def answered(files: list[bytes]) -> list[Request]:
    return [Request(of(text(file)), files=(file,)) for file in files]


def corpus() -> dict[str, list[Request]]:
    """All requests, by cause."""
    return dict([*_envelopes(), *_tables(), *_cells(), *_files(), *_params(), *_csv()])


def _envelopes() -> Iterator[tuple[str, list[Request]]]:
    body, image = of(text(good())), (good(),)
    types = ("text/plain", "image/png", "application/octet-stream", "text/html", "application/x-www-form-urlencoded")
    types += ("multipart/form-data; boundary=x", "*/*", NAME)
    yield "no Content-Type", [Request(body, None), Request(b"", None), Request(body, "")]
    yield (
        "another media type",
        [Request(body, kind) for kind in types],
    )
    yield "parquet", [Request(b"PAR1" + bytes(9) + b"PAR1", "application/vnd.apache.parquet")]
    yield "another charset", [Request(body, f"{JSON}; charset={name}") for name in ("utf-16", "latin-1", NAME)]
    yield "a parameter of the media type", [Request(body, f"{JSON}; {NAME}=1"), Request(body, f"{CSV}; header=absent")]
    spelt = (f"{JSON}; charset=utf-8", f'{JSON};charset="UTF-8"', "Application/JSON", f"{JSON};")
    yield "an unusual spelling of the media type", [Request(body, kind, image) for kind in spelt]
    yield "an empty body", raw(b"", b" ", b"\n\n")
    yield "JSON cut off", raw(*(body[:end] for end in (1, 5, 10, 14, 60, len(body) - 2, len(body) - 1)))
    yield (
        "no JSON",
        raw(WORD, b"inputs=" + WORD, b"{'inputs': []}", b"<xml/>", bytes(4), good(), body + b"}", b"{,}"),
    )
    yield "broken UTF-8", raw(b'{"inputs": ["\xff\xfe"]}', b"\xff" * 99, b'{"inputs\xc3": []}')
    yield "UTF-16", [Request(body.decode().encode("utf-16"), JSON, image)]
    yield "brackets without end", raw(b"[" * 200_000, b'{"inputs":' * 50_000, b'{"inputs": ' + b"[" * 100_000)
    yield "endless numbers", raw(b'{"inputs": [' + b"9" * 100_000 + b"]}", b'{"inputs": [1e999999999]}')
    yield "NaN and Infinity", raw(*(b'{"inputs": [%s]}' % word for word in (b"NaN", b"Infinity", b"-Infinity")))
    yield "JSON that is no object", raw(None, True, 3, NAME, [], [NAME], [[text(good())]])
    yield "a body that is compressed", [Request(zlib.compress(body, wbits=31), headers={"Content-Encoding": "gzip"})]
    yield "a body too large", raw(of("A" * 4_000_000), b" " * 5_000_000, of(*["A" * 999] * 4500))


def _tables() -> Iterator[tuple[str, list[Request]]]:
    image = text(good())
    yield "every shape, right", [Request(table(shape, [image] * 2), files=(good(),) * 2) for shape in FIELDS]
    yield "no field", raw({}, {"params": {}}, {NAME: [image]}, {"Inputs": [image]}, {"columns": ["image"], "data": []})
    yield "two fields", raw({"inputs": [image], "instances": [image]}, {"inputs": [image], "dataframe_records": []})
    yield "an unknown field beside", raw({"inputs": [image], NAME: 1}, {"inputs": [image], "signature_name": NAME})
    yield "a field of language models", raw({"messages": [NAME]}, {"prompt": NAME}, {"input": [image]})
    yield "a key twice", raw(b'{"inputs": ["a"], "inputs": ["b"]}', b'{"inputs": [{"image": "a", "image": "b"}]}')
    for shape in FIELDS:
        yield f"{shape}: no table", raw(*({shape: wrong} for wrong in (None, 1, 1.5, True, NAME, {})))
        yield f"{shape}: no rows", raw(table(shape, []))
        yield f"{shape}: another column", raw(table(shape, [image], NAME), table(shape, [image], "Image"))
        yield f"{shape}: 10,000 rows", raw(table(shape, ["AAAA"] * 10_000))
    wide = [{"image": image, NAME: 1}]
    yield (
        "a column too many",
        raw(
            {"dataframe_records": wide},
            {"instances": wide},
            {"inputs": {"image": [image], NAME: [1]}},
            {"dataframe_split": {"columns": ["image", NAME], "data": [[image, 1]]}},
            {"dataframe_split": {"columns": ["image", "image"], "data": [[image, image]]}},
        ),
    )
    yield (
        "ragged rows",
        raw(
            *(
                {"dataframe_split": {"columns": ["image"], "data": data}}
                for data in ([[]], [[image, 1]], [image], [[image], []])
            )
        ),
    )
    yield (
        "half a table",
        raw(
            *(
                {"dataframe_split": part}
                for part in ({"data": [[image]]}, {"columns": ["image"]}, {"columns": 1, "data": 2})
            )
        ),
    )
    yield "more rows than allowed", raw(of(*[image] * 65))
    yield "as many rows as allowed", [Request(of(*[image] * 64), files=(good(),) * 64)]


def _cells() -> Iterator[tuple[str, list[Request]]]:
    image = good()
    yield "no text in a row", raw(*(of(wrong) for wrong in (None, 1, 1.5, True, {}, [], [[]], [text(image)] * 2)))
    yield "a bad row among good ones", raw(of(text(image), None), of(text(image), NAME, text(image)))
    plain = text(image)
    wrong = (
        "!",
        "A",
        "AAA",
        plain[:-1],
        plain + "=",
        plain.replace("/", "_").replace("+", "-") + "_",
        image.hex() + "x",
    )
    yield (
        "no base64",
        raw(*(of(value) for value in (*wrong, "ÄÖÜ", "\ud800", "\0", "%20", f"'{plain}'", f"b'{plain}'"))),
    )
    broken = (
        "data:",
        "data:,",
        f"data:image/png,{plain}",
        f"data:;base64{plain}",
        "data:image/png;base64,",
        f"data:{NAME}",
    )
    yield "a broken data URL", raw(*(of(value) for value in broken))
    urls = (f"data:image/png;base64,{plain}", f"DATA:image/gif;charset=x;BASE64,{plain}", f"data:;base64,{plain}")
    yield "a data URL", [Request(of(url), files=(image,)) for url in urls]
    lines = "\n".join(plain[start : start + 76] for start in range(0, len(plain), 76))
    yield (
        "base64 in lines",
        [Request(of(value), files=(image,)) for value in (lines, lines.replace("\n", "\r\n"), f" {plain}\t")],
    )
    places = (
        "file:///etc/passwd",
        "/etc/passwd",
        "../../etc/passwd",
        "C:\\boot.ini",
        "\\\\host\\share\\a.png",
        "~/.ssh/id",
    )
    places += (
        "http://127.0.0.1/a.png",
        "https://localhost/a.png",
        "ftp://localhost/a",
        "s3://bucket/a",
        "models:/vit/1",
    )
    yield "a path or an address", raw(*(of(place) for place in places))


def _files() -> Iterator[tuple[str, list[Request]]]:
    yield "no image", uploads(list(pictures.no_images().values()))
    yield "an image cut off", [Request(of(text(file)), either=True) for file in pictures.truncated()]
    yield "a damaged image", [Request(of(text(file)), either=True) for file in pictures.damaged(60)]
    yield "a bomb by pixels", uploads(list(pictures.bombs_by_pixels().values()))
    yield (
        "a bomb by compression",
        [Request(of(text(file)), either=True) for file in pictures.bombs_by_compression().values()],
    )
    large = text(pictures.encoded(pictures.picture(0, 800, 800), "JPEG", quality=1))
    yield "too many pixels together", raw(of(*[large] * 7))
    yield "floating-point pixels", uploads([pictures.encoded(pictures.picture().convert("F"), "TIFF")])
    for name, file in pictures.unusual().items():
        yield f"an unusual image: {name}", answered([file])
    turned = [pictures.rotated(orientation) for orientation in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)]
    yield "turned by EXIF", [Request(of(text(stored)), files=(upright,)) for stored, upright in turned]


def _params() -> Iterator[tuple[str, list[Request]]]:
    image = text(good())
    wrong = {
        "top_k": (0, -1, 10**9, 1e9, 1.5, "x", "2", True, [1], {}, 10**400),
        "threshold": (-0.1, 1.1, 10**400, "0.5", NAME, True, [0.5], {}),
        "explain": (0, 1, "yes", NAME, [True], {}),
        NAME: (1, None, "x"),
    }
    for name, values in wrong.items():
        yield (
            f"params: {name} out of range or of another type",
            raw(*(of(image, params={name: value}) for value in values)),
        )
    yield "params that are no object", raw(*(of(image, params=value) for value in (1, NAME, [1], [["top_k", 1]], True)))
    right = (None, {}, {"top_k": None}, {"top_k": 4}, {"threshold": 0}, {"threshold": 0.0}, {"explain": False})
    yield "params that change nothing", [Request(of(image, params=value), files=(good(),)) for value in right]


def _csv() -> Iterator[tuple[str, list[Request]]]:
    image, other = text(good(0)), text(good(1))
    yield (
        "CSV, right",
        [
            Request(f"image\n{image}\n{other}\n".encode(), CSV, (good(0), good(1))),
            Request(f'"image"\r\n"{image}"\r\n'.encode(), f"{CSV}; charset=utf-8", (good(0),)),
        ],
    )
    yield "CSV without rows", raw(b"image", b"image\n\n", content_type=CSV)
    yield "no CSV", raw(b"", b"\n", b"\0\0", b"\xff\xfe", b'image\n"' + WORD, good(), b",,,\n,,,\n,", content_type=CSV)
    header = (image, f"{NAME}\n{image}", f"image,{NAME}\n{image},1", f",image\n0,{image}", f"image\n{image},{NAME}")
    yield "CSV of other columns", raw(*(value.encode() for value in header), content_type=CSV)
    yield (
        "CSV of bad cells",
        raw(b"image\nNA", b"image\nnan", b"image\n1.5", b"image\nfile:///etc/passwd", content_type=CSV),
    )
    yield "CSV of 10,000 rows", raw(b"image\n" + b"AAAA\n" * 10_000, content_type=CSV)
