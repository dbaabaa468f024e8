"""What the tests of measuring share."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
from PySide6.QtWidgets import QDialog
from pytestqt.qtbot import QtBot

from compressor_gui.core.training import Optimizing
from compressor_gui.gui.main_window import MainWindow
from tests.gui.test_window import settle


def dialog(window: MainWindow, kind: type[QDialog]) -> Any:
    """The newest open dialog of a kind."""
    return next(d for d in reversed(window.findChildren(kind)) if d.isVisible())


def prune(qtbot: QtBot, window: MainWindow, sparsity: float) -> None:
    """Prune all layers, and wait for the result."""
    window.document.prune_all(sparsity)
    window.document.end_merge()
    settle(qtbot, window)


def facts(widget: Any) -> dict[str, str]:
    """The lines of a table of facts, key to value."""
    return {fact.key: fact.value for fact in widget.facts}


def command_s_optimizing(command: click.Command) -> Optimizing:
    """What a command trains with where it is told nothing."""
    told = {option.name: option.default for option in command.params}
    return Optimizing(
        **{field.name: told[field.name] for field in dataclasses.fields(Optimizing) if field.name in told}
    )
