"""Channels, blocks and N of M in the window: forms that begin with something to do, and what is seen of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QSlider
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.passes import ALL
from compressor_gui.gui.layers_model import Column
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.pass_form import PassForm
from tests.gui.measuring import dialog, facts
from tests.gui.test_window import CTRL, SHIFT, press, settle
from tests.support import Net


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """Two convolutions and a dense layer, all with several input channels but the first."""
    net = Net((1, 8, 8, 4)).conv(16, name="conv").bias().then("Relu").conv(32, name="second").bias().then("Relu")
    path = tmp_path / "net.pb"
    pbio.write_graph(net.flatten().dense(10, name="dense").build(), path)
    return path


def cell(window: MainWindow, layer: str, column: Column) -> Any:
    model = window.layers.model
    return model.data(model.index(model.row_of(layer), column))


def add(qtbot: QtBot, window: MainWindow, name: str) -> None:
    """Choose a pass in the menu of steps, and accept its form as it begins."""
    window.recipe.add_menu.passes[name].trigger()
    qtbot.keyClick(dialog(window, PassForm), Qt.Key.Key_Return)
    settle(qtbot, window)
    assert [step.transform.name for step in window.document.state.recipe.steps] == [name]


def test_channels_are_removed_from_the_keyboard(qtbot: QtBot, opened: MainWindow) -> None:
    press(qtbot, opened, Qt.Key.Key_K, CTRL, SHIFT)
    form: PassForm = dialog(opened, PassForm)
    field = form.fields["share"]
    (slider,), (spin,) = field.findChildren(QSlider), field.findChildren(QDoubleSpinBox)
    assert (slider.maximum(), spin.maximum(), spin.value(), spin.suffix()) == (990, 99.0, 25.0, " %")
    slider.setFocus()
    for _ in range(25):
        qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    assert spin.value() > 25.0
    spin.setValue(50.0)
    qtbot.keyClick(form, Qt.Key.Key_Return)
    settle(qtbot, opened)
    assert cell(opened, "second", Column.SIZE) == "4.61 kB"  # 3 x 3 x 8 x 16 floats, of 3 x 3 x 16 x 32
    opened.document.show("compressed")
    opened.document.select("second")
    opened.inspector.show_section("picture")
    qtbot.waitUntil(lambda: opened.inspector.picture.accessibleDescription().startswith("16 kernels"))
    assert facts(opened.inspector.facts)["weights"] == "4,608 → 1,152"
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert not opened.document.state.recipe.steps


@pytest.mark.parametrize("name", ["prune_blocks", "prune_n_of_m"])
def test_patterns_are_seen_in_table_and_inspector(qtbot: QtBot, opened: MainWindow, name: str) -> None:
    add(qtbot, opened, name)
    for layer in ("conv", "second", "dense"):
        text = cell(opened, layer, Column.SPARSITY)
        after = next(found for found in opened.document.state.made.layers if found.name == layer)
        assert abs(after.sparsity - 0.5) < 0.02
        assert text == f"{100 * after.sparsity:.0f} %"
    opened.document.select("second")
    qtbot.waitUntil(lambda: "range" in facts(opened.inspector.facts))
    assert facts(opened.inspector.facts)["weights"] == "4,608 → 2,304"


def test_forms_begin_with_something_to_do() -> None:
    for transform in ALL:
        given = {key: spec.start for key, spec in transform.params().items() if spec.start is not None}
        assert all(given[key] != transform.default(key) for key in given)
        assert transform.started() == transform(**given)
    assert {kind.name for kind in ALL if kind.started() != kind()} == {"prune", "remove_channels"}
