"""What a training's run says about its surroundings."""

from vit.data.engine import ENGINE
from vit.tracking.content import _origin


def test_a_run_says_which_engine_it_had_if_any(monkeypatch):
    monkeypatch.setenv(ENGINE, "tls://head:8786")
    assert _origin()["vit_engine"] == "tls://head:8786"
    monkeypatch.delenv(ENGINE)
    assert "vit_engine" not in _origin()
