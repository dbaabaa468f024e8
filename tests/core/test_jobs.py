"""The engine's jobs: what they leave out after a crash, and how much memory they may take."""

from __future__ import annotations

import pytest

from compressor_gui.core import worker as worker_module
from compressor_gui.core.caution import ONEDNN, REMAPPER
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import MEMORY, CheckExport, EngineClient, ExportCheck
from compressor_gui.core.memory import parse_bytes
from compressor_gui.core.worker import WorkerDied


def test_after_a_crash_the_remapper_is_left_out_then_onednn_too() -> None:
    first = CheckExport("a", "b", ("x",))
    second = first.after_crash()
    third = second and second.after_crash()
    assert third is not None
    assert second == CheckExport("a", "b", ("x",), caution=1)
    assert third.after_crash() is None
    found = [request.environment() for request in (first, second, third)]
    assert found == [{}, {REMAPPER: "0"}, {REMAPPER: "0", ONEDNN: "0"}]


@pytest.mark.parametrize(("said", "is_there"), [(None, "1"), ("0", "0"), ("1", "1")])
def test_the_engine_has_onednn_unless_the_user_turns_it_off(
    monkeypatch: pytest.MonkeyPatch, said: str | None, is_there: str
) -> None:
    monkeypatch.delenv(ONEDNN, raising=False)
    if said is not None:
        monkeypatch.setenv(ONEDNN, said)
    started: list[dict[str, str]] = []

    def start(module: str, environment: dict[str, str], memory: int, background: bool) -> None:
        started.append(environment)
        raise OSError("no process for a test")

    monkeypatch.setattr(worker_module, "_Process", start)
    with EngineClient() as engine:
        for caution in range(3):
            with pytest.raises(WorkerDied):
                engine.run(CheckExport("a", "b", ("x",), caution=caution))
    assert [environment[ONEDNN] for environment in started] == [is_there, is_there, "0"]


def test_an_answer_says_what_was_left_out() -> None:
    answers = [ExportCheck((), (), (), 0.0).after(caution) for caution in range(3)]
    assert [(a.remapper_off, a.onednn_off) for a in answers] == [(False, False), (True, False), (True, True)]
    assert answers[0].left_out == ""
    assert "remapper" in answers[1].left_out
    assert "oneDNN" not in answers[1].left_out
    assert "oneDNN" in answers[2].left_out


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("4GB", 4 * 10**9), (" 1.5 gb", 15 * 10**8), ("300M", 3 * 10**8)])
def test_memory_is_written_as_people_do(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "4 GiBs", "1e9"])
def test_what_is_no_memory_is_said(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY, text)
    with pytest.raises(CompressorError, match=r"COMPRESSOR_ENGINE_MEMORY: .* is no size of memory"):
        EngineClient()


def test_the_variable_sets_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY, "2GB")
    assert EngineClient().memory_bytes == 2 * 10**9
    assert EngineClient(memory_bytes=0).memory_bytes == 0
