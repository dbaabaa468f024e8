"""The list of differences goes along when they are walked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core.passes import parse
from compressor_gui.gui.differences_panel import KEYS, DifferencesPanel
from compressor_gui.gui.document import Document
from compressor_gui.gui.theme import Theme
from tests.gui.panels import open_graph, settle
from tests.support import conv_net


@pytest.fixture
def panel(qtbot: QtBot, theme: Theme, tmp_path: Path) -> Iterator[DifferencesPanel]:
    document = Document()
    made = DifferencesPanel(document, theme)
    qtbot.addWidget(made)
    made.resize(320, 400)
    made.show()
    open_graph(qtbot, document, conv_net(), tmp_path)
    document.set_recipe(document.state.recipe.adding(parse("quantize_nodes")))
    settle(qtbot, document)
    yield made
    document.close()


def current(panel: DifferencesPanel) -> str:
    return str(panel.tree.currentIndex().data(Qt.ItemDataRole.UserRole))


def test_walking_opens_the_group_and_counts(panel: DifferencesPanel) -> None:
    group = panel.model.item(0).index()
    panel.document.select("dense_eightbit_quantized_mat_mul")
    assert not panel.tree.isExpanded(group)  # chosen in the graph: what is closed stays so
    panel.show_place(7, 31)
    assert panel.tree.isExpanded(group)
    assert current(panel) == "dense_eightbit_quantized_mat_mul"
    assert panel.summary.text() == "7 of 31"
    panel.document.select("conv_eightbit_quantized_conv")
    assert current(panel) == "conv_eightbit_quantized_conv"
    assert panel.summary.text() == KEYS


def test_the_tooltip_tells_its_numbers_from_the_recipes(panel: DifferencesPanel) -> None:
    assert "the recipe shows how many more nodes" in panel.model.item(0).toolTip()
