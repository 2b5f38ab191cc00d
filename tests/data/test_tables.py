import pytest

from vit.data.manifest import Row
from vit.data.tables import column_values, listed
from vit.errors import UserError

ROWS = [Row(path, path.split("/")[0], path) for path in ("jerry/frame1.jpg", "tom/frame2.jpg", "tom/a/frame3.jpg")]


def table(folder, name: str, text: str):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "lines", ["tom,frame2.jpg", "tom/frame2.jpg,", ",frame2.jpg", "frame2.jpg", "tom,frame2.jpg\nnobody,frame9.jpg"]
)
def test_a_list_names_an_image_in_a_cell_or_in_all_cells_joined(tmp_path, lines):
    folder = table(tmp_path, "hard.csv", f"folder,image_name\n{lines}\n")
    assert listed(ROWS, folder, "hard.csv", "evaluate.slices") == [False, True, False]


def test_a_file_name_that_two_images_have_needs_its_folder(tmp_path):
    rows = [Row("jerry/1.jpg", "jerry", ""), Row("tom/1.jpg", "tom", "")]
    folder = table(tmp_path, "hard.csv", "folder,image_name\ntom,1.jpg\n")
    assert listed(rows, folder, "hard.csv", "evaluate.slices") == [False, True]
    table(tmp_path, "short.csv", "image_name\n1.jpg\n")
    with pytest.raises(UserError, match=r"'short\.csv': 1 of 1 names are ambiguous: '1\.jpg' may mean 'jerry/1"):
        listed(rows, folder, "short.csv", "evaluate.slices")


def test_a_list_that_is_not_there_is_refused_with_what_is(tmp_path):
    folder = table(tmp_path, "hard.csv", "folder,image_name\n")
    with pytest.raises(UserError, match=r"evaluate\.slices 'easy\.csv': there is no such CSV .* \['hard\.csv'\]"):
        listed(ROWS, folder, "easy.csv", "evaluate.slices")


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "hard.csv").write_bytes(b"a,b\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"hard\.csv: not a CSV in UTF-8"):
        listed(ROWS, tmp_path, "hard.csv", "evaluate.slices")


def test_a_column_gives_each_image_its_values_and_none_to_one_that_it_lacks(tmp_path):
    folder = table(tmp_path, "light.csv", "name,light\nframe1.jpg,day\ntom/frame2.jpg,day\nframe2.jpg,night\n")
    assert column_values(ROWS, folder, "light", "evaluate.slices") == [{"day"}, {"day", "night"}, set()]


def test_the_column_that_names_the_images_and_one_that_is_missing_are_refused_by_the_parameter_that_asks(tmp_path):
    folder = table(tmp_path, "light.csv", "name,light\nframe1.jpg,day\n")
    with pytest.raises(UserError, match=r"evaluate\.slices 'name' is the table's first column"):
        column_values(ROWS, folder, "name", "evaluate.slices")
    with pytest.raises(UserError, match=r"evaluate\.slices 'rain': .* there are \['light', 'name'\]"):
        column_values(ROWS, folder, "rain", "evaluate.slices")
