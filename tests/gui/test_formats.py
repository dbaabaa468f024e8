"""Opening what has to be frozen first, and exporting in other formats, with an engine that answers on request."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.data import DataSpec
from compressor_gui.core.formats import needs_import
from compressor_gui.core.jobs import OutputCheck
from compressor_gui.core.measure import ExportedModel, ExportModel, Imported, ImportModel
from compressor_gui.core.protocol import Done, Failed
from compressor_gui.gui.formats import EXPORTS
from compressor_gui.gui.main_window import MainWindow
from tests.gui.fake_engine import FakeEngine
from tests.gui.test_window import settle
from tests.support import residual_net


def choose(monkeypatch: pytest.MonkeyPatch, target: Path, kind: str = "") -> None:
    monkeypatch.setattr("PySide6.QtWidgets.QFileDialog.getSaveFileName", lambda *_: (str(target), kind))


def test_what_is_frozen_first(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    assert not needs_import(tmp_path / "saved")
    (tmp_path / "saved" / "saved_model.pb").touch()
    assert needs_import(tmp_path / "saved")
    assert needs_import(Path("a.keras"))
    assert needs_import(Path("model.ckpt-1000.meta"))
    assert not needs_import(Path("a.pb"))


def test_a_keras_file_is_frozen_and_opened(
    qtbot: QtBot, opened: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(opened.engine)
    target = tmp_path / "frozen.pb"
    choose(monkeypatch, target)
    opened.open(tmp_path / "model.keras")
    assert engine.find(ImportModel)[1].target == str(target)
    pbio.write_graph(residual_net(), target)
    engine.say(ImportModel, Done(Imported(str(target), ("input",), ("relu6",), ("Dropout does nothing now.",))))
    qtbot.waitUntil(lambda: opened.document.state.source.path == target)
    qtbot.waitUntil(lambda: "Dropout does nothing now." in opened.message.what.text())
    settle(qtbot, opened)


def test_an_import_that_is_refused_is_said(opened: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(opened.engine)
    choose(monkeypatch, tmp_path / "frozen.pb")
    opened.open(tmp_path / "model.keras")
    engine.say(ImportModel, Failed("it has a Lambda layer, which runs code", "model.keras"))
    assert "Lambda" in opened.message.what.text()
    assert opened.document.state.source.path.name == "net.pb"


def test_export_in_another_format(opened: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(opened.engine)
    kinds = {name: kind for kind, (name, _) in EXPORTS.items()}
    choose(monkeypatch, tmp_path / "small", kinds["tflite_dynamic"])
    opened.actions_table["export_as"].trigger()
    request = engine.find(ExportModel)[1]
    assert request.target == str(tmp_path / "small.tflite")
    assert request.format == "tflite_dynamic"
    check = OutputCheck("softmax", 41.2, 1.0, True, False, (10,))
    engine.say(ExportModel, Done(ExportedModel(request.target, 1000, (check,))))
    assert opened.message.what.text() == f"Exported to {request.target}, SQNR 41 dB."
    choose(monkeypatch, tmp_path / "small.tflite", kinds["tflite_int8"])
    opened.actions_table["export_as"].trigger()
    assert "need examples" in opened.message.what.text()
    opened.document.set(data=DataSpec("idx", str(tmp_path)))
    opened.actions_table["export_as"].trigger()
    assert engine.find(ExportModel)[1].data is not None
