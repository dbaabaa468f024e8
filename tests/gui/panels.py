"""What the tests of single panels share: a document with a small network, and the mouse."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.graph import ModelGraph
from compressor_gui.gui.document import Document


def open_graph(qtbot: QtBot, document: Document, graph: ModelGraph, folder: Path) -> Document:
    """Write a graph to a file, open it, and wait until everything about it is counted."""
    path = folder / "net.pb"
    pbio.write_graph(graph, path)
    document.open(path)
    qtbot.waitUntil(lambda: document.state.source is not None and not document.state.stale)
    layers = document.state.source.layers  # type: ignore[union-attr]
    prunable = any(layer.tensor.dtype.is_floating for layer in layers)
    qtbot.waitUntil(lambda: bool(document.state.magnitudes) or not prunable)
    return document


def settle(qtbot: QtBot, document: Document) -> None:
    """Wait for the exact result."""
    qtbot.waitUntil(lambda: not document.state.stale)


def mouse(widget: QWidget, kind: QEvent.Type, at: QPointF, held: bool) -> None:
    """Send one mouse event with the left button; unlike QTest's moves it says which button is held."""
    button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
    buttons = Qt.MouseButton.LeftButton if held else Qt.MouseButton.NoButton
    place = QPointF(widget.mapToGlobal(at.toPoint()))
    event = QMouseEvent(kind, at, place, button, buttons, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(widget, event)
    QApplication.processEvents()


def drag(widget: QWidget, start: QPointF, *way: QPointF, release: bool = True) -> None:
    """Press at ``start``, move along ``way``, and let go."""
    mouse(widget, QEvent.Type.MouseMove, start, held=False)
    mouse(widget, QEvent.Type.MouseButtonPress, start, held=True)
    for at in way:
        mouse(widget, QEvent.Type.MouseMove, at, held=True)
    if release:
        mouse(widget, QEvent.Type.MouseButtonRelease, way[-1], held=False)


def middle(widget: QWidget) -> QPoint:
    """A widget's centre."""
    return widget.rect().center()
