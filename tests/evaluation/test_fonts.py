"""Class names in any script are drawn, or the person is told what is missing."""

import logging
import warnings

import numpy as np
import pytest
from matplotlib import font_manager

from vit.evaluation import fonts
from vit.evaluation.plots import confusion_figure

pytestmark = pytest.mark.long

COUNTS = np.array([[3, 1], [2, 4]])


@pytest.fixture(autouse=True)
def _forgetting():
    yield
    for function in (fonts._fallbacks, fonts._warn_once):
        function.cache_clear()


def test_missing_characters_are_told_once_and_matplotlib_does_not_repeat_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING, "vit"):
        for name in ("one.png", "two.png"):
            confusion_figure(tmp_path / name, COUNTS, ["cat", "𓀀𓀁"])
    (record,) = caplog.records
    assert "no installed font has the characters 𓀀𓀁" in record.message and "fonts-noto" in record.message
    assert [str(one.message) for one in caught if "Glyph" in str(one.message)] == []


def test_an_installed_font_that_has_them_is_used(tmp_path, monkeypatch, caplog):
    stix = font_manager.findfont("STIXGeneral")  # comes with matplotlib, and has what DejaVu Sans lacks
    (character, *_) = sorted(fonts._characters(stix) - fonts._default() - set(map(chr, range(0xE000, 0xF900))))
    names = [f"{character} class", "cat"]
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    confusion_figure(tmp_path / "without.png", COUNTS, names)
    fonts._fallbacks.cache_clear()
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [stix])
    caplog.clear()
    confusion_figure(tmp_path / "with.png", COUNTS, names)
    assert not caplog.records
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()
