"""Groups that a table names: one patient is one group, however its cell is spelled."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.findings import row_of
from vit.data.groups import by_column
from vit.errors import UserError

BLANKS = st.lists(st.sampled_from([" ", "\t", "\u00a0", "\u200b", "\ufeff", "\u202f"]), max_size=3).map("".join)


def grouped(folder, cells: list[str]) -> list[str]:
    rows = [row_of(f"cat/{number}.png") for number in range(len(cells))]
    lines = "".join(f'{row.path},"{cell}"\n' for row, cell in zip(rows, cells, strict=True))
    (folder / "patients.csv").write_text(f"image, patient\n{lines}", encoding="utf-8")
    return [row.group for row in by_column(rows, folder, "patient")]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["P1", "P2", "Zoë", "12"]), BLANKS, BLANKS), min_size=1, max_size=20))
def test_blanks_around_a_cell_tear_no_group_apart(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("tables", numbered=True)
    assert grouped(folder, [f"{before}{name}{after}" for name, before, after in cells]) == [
        name for name, _, _ in cells
    ]


def test_forty_images_of_twenty_patients_stay_twenty_groups(tmp_path):
    cells = [f"patient {number // 2}{' ' * (number % 2)}" for number in range(40)]
    assert len(set(grouped(tmp_path, cells))) == 20


@pytest.mark.parametrize("empty", ["", "  ", "\u00a0", "NaN", "n/a", "NULL"])
def test_empty_cells_are_no_common_group_and_are_counted(tmp_path, empty):
    with pytest.raises(UserError, match=r"split\.group_column 'patient': .* no group for 'cat/1\.png', 2 of 4 images"):
        grouped(tmp_path, ["P1", empty, "P2", empty])


def test_numbers_with_a_gap_are_the_numbers_that_pandas_read(tmp_path):
    assert grouped(tmp_path, ["3.0", "3", "4.0"]) == ["3", "3", "4"]
