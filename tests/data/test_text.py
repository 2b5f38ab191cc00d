"""What looks equal is equal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vit.data.text import as_read, name_as_read, names_no_group, values_as_read

INVISIBLE = ["\u200b", "\ufeff", "\u2060", "\u00ad", "\u200e", "\u202a", "\u202c"]
LETTERS = "abZ09éöñşåắ각がÅΩфя犬ﬁ①\u0301\u0308\u3099!/&"
BLANKS = [" ", "\t", "\r\n", "\u00a0", "\u202f", "\u2007", "\u3000"]
UNSEEN = [*INVISIBLE, *(blank for blank in BLANKS if len(blank) == 1)]


@given(
    st.text([*LETTERS, *UNSEEN, "\r", "\u200d"], max_size=12), st.text(UNSEEN, max_size=3), st.text(UNSEEN, max_size=3)
)
def test_what_cannot_be_seen_around_a_text_changes_nothing_and_reading_twice_neither(text, before, after):
    seen = as_read(text)
    assert as_read(before + text + after) == seen == as_read(seen)
    assert seen == seen.strip() and unicodedata.is_normalized("NFC", seen)


@given(st.text(LETTERS, max_size=12), st.sampled_from(INVISIBLE), st.integers(0, 12))
def test_every_unicode_form_and_an_invisible_character_inside_read_the_same(text, invisible, place):
    composed = as_read(text)
    assert as_read(unicodedata.normalize("NFD", text)) == composed
    assert as_read(text[:place] + invisible + text[place:]) == composed


@given(st.text(LETTERS, max_size=12))
def test_what_is_seen_stays_apart(text):
    assert as_read(f"{text}x") != as_read(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("cafe\u0301", "café"),
        (" tom\u00a0\u200b", "tom"),
        ("New\u00a0York", "New York"),
        ("a  b", "a  b"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),  # joined it is one emoji, apart it is three
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u200d", ""),
    ],
)
def test_examples(text, read):
    assert as_read(text) == read


@pytest.mark.parametrize("spelled", ["a/b.png", "./a/b.png", "a\\b.png", "a//b.png ", " a / b.png", "/a/b.png"])
def test_a_path_reads_the_same_however_folders_are_parted(spelled):
    assert name_as_read(spelled) == "a/b.png"


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.0", "", "12.0 "], ["1", "", "12"]),  # a column of numbers with a gap, as pandas writes it
        (["3", "3.0"], ["3", "3"]),
        (["007", "7"], ["007", "7"]),
        (["1.0", "1.5"], ["1.0", "1.5"]),
        (["1.0", "v1"], ["1.0", "v1"]),
    ],
)
def test_whole_numbers_are_one_spelling_in_a_column_of_them_alone(cells, values):
    assert values_as_read(cells) == values


@pytest.mark.parametrize(
    ("value", "unknown"), [("", True), ("NaN", True), ("N/A", True), ("nancy", False), ("0", False)]
)
def test_what_names_no_group(value, unknown):
    assert names_no_group(value) is unknown
