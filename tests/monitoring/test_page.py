"""A report in both forms, whatever its names say."""

import re

from vit.monitoring.page import Name, Section, as_html, as_markdown

HOSTILE = "<script>x</script>|`@everyone`\n# *head* [a](http://b)"


def test_names_are_no_markup_in_either_form():
    section = Section("Data", ["A *plain* | line <b>"], [["class", "images"], [Name(HOSTILE), "1,234"]])
    text = as_markdown("Version 1", [section])
    assert text.splitlines() == [
        "# Version 1",
        "",
        "## Data",
        "",
        "A \\*plain\\* \\| line \\<b\\>",
        "",
        "| class | images |",
        "| --- | ---: |",
        "| `<script>x</script>\\|'@everyone' # *head* [a](http://b)` | 1,234 |",
    ]
    page = as_html("Version 1", [section])
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_pictures_are_inside_the_page_and_named_in_the_text(tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    section = Section("Samples", pictures={"Added images": tmp_path / "a.png"})
    assert 'src="data:image/png;base64,cGljdHVyZQ=="' in as_html("x", [section])
    assert "Added images: in the HTML report." in as_markdown("x", [section])


def test_a_table_without_rows_is_left_out():
    assert "|" not in as_markdown("x", [Section("Scores", [], [["a", "b"]])])
    assert not re.search("<table", as_html("x", [Section("Scores", [], [["a", "b"]])]))
