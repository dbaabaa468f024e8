from __future__ import annotations

import pytest

from compressor_gui.core import machine


@pytest.mark.parametrize(
    ("said", "vnni", "on"),
    [("1", False, True), ("0", True, False), (None, True, True), (None, False, False), (None, None, True)],
)
def test_onednn_is_on_where_the_variable_or_the_processor_says_so(
    monkeypatch: pytest.MonkeyPatch, said: str | None, vnni: bool | None, on: bool
) -> None:
    monkeypatch.setattr(machine, "has_vnni", lambda: vnni)
    if said is None:
        monkeypatch.delenv(machine.ONEDNN, raising=False)
    else:
        monkeypatch.setenv(machine.ONEDNN, said)
    assert machine.onednn_is_on() is on
    assert machine.onednn_is_asked_for() is (on and vnni is False)
