import pytest

from tests.monitoring.made import rows
from vit.config.files import CORRECTIONS
from vit.data.corrections import Correction, write_corrections
from vit.errors import UserError
from vit.monitoring.accuracy import is_worse, labels_from_corrections, labels_from_table, live_accuracy, said_of

SCORES = {"test_accuracy": 0.9, "test_accuracy_low": 0.85, "test_accuracy_high": 0.94}


def table(tmp_path, *lines: str):
    (tmp_path / "later.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return labels_from_table(tmp_path / "later.csv")


def test_labels_that_come_later_are_joined_by_request_and_row_and_by_digest(tmp_path):
    logged = rows(6)  # cat, dog, cat, dog, cat, dog
    ids = logged["request_id"].to_pylist()
    later = table(tmp_path, "request_id,row,sha256,label", f"{ids[0]},0,,cat", f"{ids[1]},,,cat", f",,{2:064x},cat")
    found = live_accuracy(logged, later, 1)
    assert (found.images, found.value) == (3, pytest.approx(2 / 3))
    assert 0 <= found.low < 2 / 3 < found.high <= 1


def test_labels_of_other_predictions_and_missing_ones_count_for_nothing(tmp_path):
    later = table(tmp_path, "request_id,label", "elsewhere,cat", f"{rows(1)['request_id'][0]},")
    assert live_accuracy(rows(3), later, 1) is None


def test_the_interval_counts_neighbours_in_a_block_as_one(tmp_path):
    # The first half is right, so that blocks are all right or all wrong.
    lines = [f"{index:064x},{'cat' if (index % 2 == 0) == (index < 40) else 'dog'}" for index in range(80)]
    later = table(tmp_path, "sha256,label", *lines)
    alone, together = (live_accuracy(rows(80), later, block) for block in (1, 20))
    assert alone.value == together.value == 0.5
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_accuracy_alarms_only_below_the_interval_of_the_test_score_and_never_by_corrections(tmp_path):
    lines = [f"{index:064x},{'cat' if index % 4 == 0 else 'dog'}" for index in range(80)]  # every fourth is wrong
    later = table(tmp_path, "sha256,label", *lines)
    found = live_accuracy(rows(80), later, 1)
    assert found.value == 0.75 and is_worse(found, SCORES) and not is_worse(found, {})
    assert said_of(found, SCORES).endswith("of 80 labelled; test 0.900 (0.850 to 0.940)")
    write_corrections(
        tmp_path / CORRECTIONS,
        [
            *(Correction(f"{index:064x}", "", "bird", "relabel", "me", "") for index in range(4)),
            Correction(f"{4:064x}", "", "cat", "keep", "me", ""),
            Correction(f"{5:064x}", "", "cat", "remove", "me", ""),
        ],
    )
    corrected = live_accuracy(rows(80), labels_from_corrections(tmp_path), 1)
    assert (corrected.images, corrected.value) == (5, 0.2) and not is_worse(corrected, SCORES)
    assert "the true figure is higher" in said_of(corrected, SCORES)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["sha256,truth", "a,b"], "needs the columns label and"),
        (["label", "cat"], "needs the columns label and"),
        (["request_id,row,label", "a,one,cat"], "line 2: row 'one' is not an integer"),
    ],
)
def test_a_table_that_does_not_fit_is_named_with_what_it_needs(tmp_path, lines, reason):
    with pytest.raises(UserError, match=reason):
        table(tmp_path, *lines)
