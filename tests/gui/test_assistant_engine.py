"""The Quantize assistant with the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.main_window import MainWindow
from tests.gui.assisting import open_it
from tests.gui.measuring import dialog
from tests.gui.test_window import settle

LEFT = Qt.MouseButton.LeftButton
PATIENCE = 300_000
"""Milliseconds that the engine may take: on a machine with much to do TensorFlow starts slowly."""


@pytest.mark.tensorflow
def test_from_opening_a_file_to_the_fused_graph(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    window.open(Path(__file__).parents[2] / "resources/samples/lenet-5.pb")
    qtbot.waitUntil(lambda: window.document.state.data is not None)
    settle(qtbot, window)
    shown = open_it(qtbot, window)
    qtbot.mouseClick(shown.what.cards["fused"], LEFT)
    qtbot.mouseClick(shown.next_button, LEFT)
    qtbot.waitUntil(lambda: len(shown.data.pictures.captions) == 12, timeout=PATIENCE)
    qtbot.mouseClick(shown.next_button, LEFT)
    box = shown.method.options["measured"].box  # whether so small a network gains anything is not what this is about
    qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))
    qtbot.mouseClick(shown.next_button, LEFT)
    page = shown.result_page
    qtbot.waitUntil(lambda: page.run.running is None, timeout=PATIENCE)
    assert [stage.status for stage in page.run.stages] == ["done"] * 5, page.problem.text()
    assert page.run.evaluation.accuracy.top1 > page.run.evaluation.against.top1 - 0.01
    assert min(one.check.sqnr_db for one in page.run.evaluation.fidelity) > 20
    qtbot.mouseClick(shown.export_button, LEFT)
    qtbot.waitUntil(lambda: any(d.isVisible() for d in window.findChildren(ExportDialog)))
    exporting = dialog(window, ExportDialog)
    target = tmp_path / "fused.pb"
    exporting.target.setText(str(target))
    qtbot.mouseClick(exporting.export_button, LEFT)
    qtbot.waitUntil(lambda: exporting.finished_work, timeout=PATIENCE)
    assert exporting.check is not None
    assert exporting.check.passed
    qtbot.mouseClick(exporting.close_button, LEFT)
    written = pbio.read_graph(target)
    assert any(op.startswith("Quantized") and "Requantize" in op for op in written.op_counts)
    assert "RequantizationRange" not in written.op_counts
    assert target.stat().st_size < 0.3 * window.document.state.source.size
    before = window.document.state.source
    window.open(target)  # and it opens again
    qtbot.waitUntil(lambda: window.document.state.source is not before)
    settle(qtbot, window)
