"""What verify compares: predictions row by row, weights byte for byte, code with dvc.lock."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from vit.files import read_table, write_table
from vit.registry.rebuilt import changed_code
from vit.registry.verify import Refuted, compare_predictions, compare_weights
from vit.tracking.environment import differences, environment

pytestmark = pytest.mark.long


def table(file: Path, **changes: object) -> Path:
    image = {"path": "3/a b.png", "label": "3", "group": "a session"}
    row = image | {"prediction": "3", "confidence": 0.75, "p_3": 0.75, "p_5": 0.25}
    write_table(file, [row, row | changes])
    return file


@pytest.mark.parametrize("gap", [0.0, 0.99e-5])
def test_predictions_within_the_tolerance_agree(tmp_path, gap):
    again = table(tmp_path / "again.csv", p_5=0.25 + gap)
    assert compare_predictions(table(tmp_path / "then.csv"), again, "x") == (2, pytest.approx(gap, abs=1e-12))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"p_5": 0.25 + 1.1e-5}, "p_5 of 3/a b.png was 0.25 and is now 0.250011"),
        ({"p_3": "nan"}, "p_3 of 3/a b.png was 0.75 and is now nan"),
        ({"prediction": "5"}, "prediction of 3/a b.png was 3 and is now 5"),
        ({"label": "03"}, "label of 3/a b.png was 3 and is now 03"),
        ({"group": "another"}, "group of 3/a b.png was a session and is now another"),
    ],
)
def test_one_number_too_far_off_or_one_other_label_refutes_and_is_named(tmp_path, changes, told):
    with pytest.raises(Refuted, match=f"^x is not verified: {re.escape(told)}$"):
        compare_predictions(table(tmp_path / "then.csv"), table(tmp_path / "again.csv", **changes), "x")


def test_a_class_that_only_one_of_them_has_refutes_and_is_named(tmp_path):
    wider = tmp_path / "wider.csv"
    write_table(wider, [row | {"p_7": 0.0} for row in read_table(table(tmp_path / "then.csv"))])
    for published, again in ((tmp_path / "then.csv", wider), (wider, tmp_path / "then.csv")):
        with pytest.raises(Refuted, match=r"^x is not verified: p_7 of 3/a b\.png was "):
            compare_predictions(published, again, "x")


def test_predictions_for_other_images_refute(tmp_path):
    with pytest.raises(Refuted, match="for different images"):
        compare_predictions(table(tmp_path / "then.csv"), table(tmp_path / "again.csv", path="3/b.png"), "x")


def test_one_bit_of_a_weight_refutes_and_its_tensor_is_named(tmp_path):
    for name, last in (("then", 1.0), ("same", 1.0), ("other", np.nextafter(np.float32(1), np.float32(2)))):
        weights = {"head.bias": np.zeros(3, np.float32), "head.weight": np.array([0, last], np.float32)}
        safetensors.numpy.save_file(weights, tmp_path / name)
    compare_weights(tmp_path / "then", tmp_path / "same", "x")
    with pytest.raises(Refuted, match=r"largest difference 1e-07, in head\.weight"):
        compare_weights(tmp_path / "then", tmp_path / "other", "x")


def test_code_that_is_not_that_of_the_lock_is_listed(tmp_path):
    for name in ("a.py", "b.py", "data.csv"):
        (tmp_path / name).write_text(name)
    md5 = {name: hashlib.md5(name.encode()).hexdigest() for name in ("a.py", "b.py", "gone.py")}
    deps = [{"path": name, "md5": value} for name, value in md5.items()] + [{"path": "data.csv", "md5": "other"}]
    stages = {"pack": {"deps": deps[:2]}, "train": {"deps": deps[2:]}, "alone": {}}
    assert changed_code(tmp_path, stages) == ["gone.py"]
    (tmp_path / "b.py").write_text("b.py and more")
    assert changed_code(tmp_path, stages) == ["b.py", "gone.py"]


def test_another_version_of_a_package_is_told_and_another_device_is_not():
    now = environment("cpu")
    then = now | {"device": "cuda (H100)", "packages": now["packages"] | {"torch": "1.13.1"}}
    assert differences(then, now) == [f"torch 1.13.1, here {now['packages']['torch']}"]
    assert differences(now, now) == []
