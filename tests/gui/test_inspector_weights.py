"""Weights in the inspector, as pictures and as tables of values."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.gui.document import Document
from compressor_gui.gui.inspector import Inspector
from compressor_gui.gui.inspector import values as values_module
from compressor_gui.gui.inspector.pictures import MAX_SIDE, MIDDLE, ZERO, image_of, picture_of
from compressor_gui.gui.inspector.values import ALL, first_plane, plane, write_values
from compressor_gui.gui.theme import Theme
from tests.gui.panels import settle
from tests.support import Net, const, graph, node, placeholder


def one_layer(made: ModelGraph) -> Layer:
    (layer,) = find_layers(made)
    return layer


# --- pictures --------------------------------------------------------------------------------------------------------


def test_kernels_lie_in_a_grid_and_zeros_are_marked() -> None:
    net = Net((1, 8, 8, 2)).conv(5)
    layer = one_layer(net.build())
    picture = picture_of(layer)
    assert picture.cell == (3, 3)
    rows, columns = picture.shape
    assert (rows + 1) % 4 == 0
    assert (columns + 1) % 4 == 0
    first = layer.weights[:, :, 0, 0]
    assert np.array_equal(np.sign(picture.indices[:3, :3].astype(int) - MIDDLE), np.sign(first))
    assert picture.gaps is not None
    assert picture.gaps[3, 0]


def test_kernels_of_a_color_image_are_in_color() -> None:
    picture = picture_of(one_layer(Net().conv(4).build()))
    assert picture.colors is not None
    assert "red, green, blue" in picture.words


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 9))
def test_a_matrix_shows_the_strongest_of_each_block(rows: int, columns: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.zeros((rows, columns), np.float32)
    row, column = random.integers(rows), random.integers(columns)
    values[row, column] = -1.0
    made = graph(placeholder("x", (1, rows)), const("w", values), node("y", "MatMul", "x", "w"))
    picture = picture_of(one_layer(made))
    down, across = -(-rows // MAX_SIDE), -(-columns // MAX_SIDE)
    assert max(picture.shape) <= MAX_SIDE
    assert picture.indices[row // down, column // across] == 1
    assert np.count_nonzero(picture.indices != ZERO) == 1


def test_picture_is_colored_by_the_theme(theme: Theme, qapp: QApplication) -> None:
    picture = picture_of(one_layer(Net((1, 8, 8, 2)).conv(5).build()))
    image = image_of(picture, theme)
    assert (image.height(), image.width()) == picture.shape
    assert image != image_of(picture, Theme("dark"))


def test_picture_of_the_compressed_weight_when_it_is_shown(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    document.prune_layer(document.state.source.layers[1], 0.5)  # type: ignore[union-attr]
    settle(qtbot, document)
    qtbot.mouseClick(dense.sections["picture"].head, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dense.picture._picture is not None)
    before = dense.picture._picture
    assert before is not None
    assert not np.any(before.indices == ZERO)
    document.show("compressed")
    qtbot.waitUntil(lambda: dense.picture._picture is not before)
    assert np.mean(dense.picture._picture.indices == ZERO) == pytest.approx(0.5)  # type: ignore[union-attr]
    assert dense._versions[0].text() == "compressed"


# --- values ----------------------------------------------------------------------------------------------------------


@given(hnp.array_shapes(min_dims=0, max_dims=6, max_side=4))
def test_any_rank_has_a_plane(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    shown = plane(array, first_plane(shape))
    assert shown.ndim == 2
    assert shown.size == np.prod(sorted(shape)[-2:])
    assert first_plane(shape).count(ALL) == min(len(shape), 2)


@pytest.fixture
def conv_values(qtbot: QtBot, dense: Inspector, document: Document) -> Inspector:
    """The inspector with the values of the 3x3x3x8 filter unfolded."""
    document.select("conv")
    qtbot.mouseClick(dense.sections["values"].head, Qt.MouseButton.LeftButton)
    return dense


def test_slices_are_chosen_by_axis(qtbot: QtBot, conv_values: Inspector, document: Document) -> None:
    values = conv_values.values
    weights = document.state.source.layers[0].weights  # type: ignore[union-attr]
    assert values.model.array.shape == (3, 8)
    boxes = values._axes
    boxes[1].setValue(2)
    assert np.array_equal(values.model.array, weights[:, 2, 0, :])
    boxes[1].setFocus()
    qtbot.keyClick(boxes[1], Qt.Key.Key_Down)
    assert np.array_equal(values.model.array, weights[:, 1, 0, :])
    boxes[1].setValue(ALL)
    assert [box.value() for box in boxes].count(ALL) == 2
    assert np.array_equal(values.model.array, weights[0, :, 0, :])


def test_selection_is_copied_as_tabs(qtbot: QtBot, conv_values: Inspector, document: Document) -> None:
    values = conv_values.values
    values.table.setFocus()
    values.table.selectAll()
    qtbot.keyClick(values.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = [line.split("\t") for line in QGuiApplication.clipboard().text().splitlines()]
    assert np.array_equal(np.array(lines, np.float32), values.model.array)


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_values_are_exported(qtbot: QtBot, conv_values: Inspector, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"weights{suffix}"
    with qtbot.waitSignal(conv_values.exported):
        conv_values.values.export_to(target)
    array = conv_values.values._array
    assert array is not None
    if suffix == ".npy":
        assert np.array_equal(np.load(target), array)
    else:
        rows = list(csv.reader(target.read_text().splitlines()))
        assert np.array_equal(np.array(rows, np.float32), array.reshape(-1, 8))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_too_many_cells_are_not_copied(
    qtbot: QtBot, conv_values: Inspector, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values_module, "MAX_COPIED", 5)
    with qtbot.waitSignal(document.failed) as seen:
        qtbot.mouseClick(conv_values.values.copy_button, Qt.MouseButton.LeftButton)
    assert "too many for the clipboard" in str(seen.args[0])


def test_the_slice_stays_when_the_weights_change(qtbot: QtBot, conv_values: Inspector, document: Document) -> None:
    document.show("compressed")
    conv_values.values._axes[1].setValue(2)
    document.prune_layer(document.state.source.layers[0], 0.5)  # type: ignore[union-attr]
    settle(qtbot, document)
    assert conv_values.values._axes[1].value() == 2
    made = document.state.made
    assert made is not None
    assert np.array_equal(conv_values.values.model.array, made.layers[0].weights[:, 2, 0, :])


def test_export_that_fails_says_so(qtbot: QtBot, conv_values: Inspector, document: Document, tmp_path: Path) -> None:
    with qtbot.waitSignal(document.failed) as seen:
        conv_values.values.export_to(tmp_path / "missing" / "w.npy")
    assert isinstance(seen.args[0], CompressorError)
    assert "can't be written" in str(seen.args[0])


def test_strings_are_quoted_in_csv(tmp_path: Path) -> None:
    target = tmp_path / "t.csv"
    write_values(np.array([[b'a,"b"', b"c"]], object), target)
    assert list(csv.reader(target.read_text().splitlines())) == [['a,"b"', "c"]]
