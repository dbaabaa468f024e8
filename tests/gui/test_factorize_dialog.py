"""Choosing ranks from curves, by real clicks, drags and keys."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QTreeWidgetItem
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.low_rank import Spectrum
from compressor_gui.core.passes.factorize import Factorize
from compressor_gui.core.passes.prune import Prune
from compressor_gui.gui.factorize.dialog import FactorizeDialog
from compressor_gui.gui.layers_model import Column
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.recipe_panel import RecipePanel
from tests.gui.measuring import dialog, facts
from tests.gui.test_window import CTRL, SHIFT, press, settle
from tests.support import Net

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """Layers with many ranks and few, and two that can't be made smaller."""
    net = Net((1, 8, 8, 3)).conv(32, name="conv").bias().then("Relu").depthwise(name="depth")
    net.flatten().dense(40, name="dense").bias().then("Relu").dense(1, name="last")
    path = tmp_path / "net.pb"
    pbio.write_graph(net.build(), path)
    return path


@pytest.fixture
def asked(qtbot: QtBot, opened: MainWindow) -> Iterator[FactorizeDialog]:
    """The dialog for a new step, with all curves known."""
    yield ask(qtbot, opened)
    for left in opened.findChildren(FactorizeDialog):
        left.reject()


def ask(qtbot: QtBot, window: MainWindow) -> FactorizeDialog:
    """Ask for the dialog by its keys."""
    press(qtbot, window, Qt.Key.Key_F, CTRL, SHIFT)
    return known(qtbot, window)


def known(qtbot: QtBot, window: MainWindow) -> FactorizeDialog:
    """The open dialog, once all curves are known."""
    found: FactorizeDialog = dialog(window, FactorizeDialog)
    qtbot.waitUntil(lambda: found.draft.entries is not None and not found.draft.unknown)
    return found


def item_of(asked: FactorizeDialog, short: str) -> QTreeWidgetItem:
    (item,) = asked.layers.findItems(short, Qt.MatchFlag.MatchExactly, 0)
    return item


def row(asked: FactorizeDialog, short: str) -> list[str]:
    return [item_of(asked, short).text(column) for column in range(1, 5)]


def click_row(qtbot: QtBot, asked: FactorizeDialog, short: str, *, box: bool = False) -> None:
    """Click on a layer's name, or on its box."""
    rect = asked.layers.visualItemRect(item_of(asked, short))
    at = QPoint(rect.left() + (16 if box else 60), rect.center().y())
    qtbot.mouseClick(asked.layers.viewport(), LEFT, pos=at)


def place(asked: FactorizeDialog, rank: float, height: float = 0.9) -> QPoint:
    """Where a rank is in the plot's viewport."""
    asked.plot.grab()  # lays it out
    scene = asked.plot.getPlotItem().getViewBox().mapViewToScene(QPointF(rank, height))
    return asked.plot.mapFromScene(scene)


def click_rank(qtbot: QtBot, asked: FactorizeDialog, rank: float) -> None:
    qtbot.mouseClick(asked.plot.viewport(), LEFT, pos=place(asked, rank))


def test_a_rank_is_chosen_from_the_curve_and_becomes_a_step(
    qtbot: QtBot, asked: FactorizeDialog, opened: MainWindow
) -> None:
    assert asked.layers.current == "dense"  # the largest
    assert not asked.apply_button.isEnabled()
    assert facts(asked.facts)["rank"] == "whole, 40"
    click_rank(qtbot, asked, 10)
    assert asked.draft.ranks == {"dense": 10}
    spectrum = asked.draft.spectra["dense"]
    assert row(asked, "dense") == ["2,048 × 40", "10", f"{100 * spectrum.errors[10]:.1f} %", "25.5 %"]
    shown = facts(asked.facts)
    assert shown["rank"] == "10 of 40"
    assert shown["energy kept"] == f"{100 * spectrum.energy[10]:.1f} %"
    assert shown["weights"] == "81,920 → 20,880, −74.5 %"
    assert shown["bytes"] == "328 kB → 83.5 kB, −74.5 %"
    click_row(qtbot, asked, "conv")
    click_rank(qtbot, asked, 6)
    assert facts(asked.totals)["layers split"] == "2 of 2"
    qtbot.mouseClick(asked.apply_button, LEFT)
    settle(qtbot, opened)
    (step,) = opened.document.state.recipe.steps
    assert step.transform == Factorize(ranks=(("conv", 6), ("dense", 10)))
    after = opened.document.state.made.graph
    assert after["dense/weights_first"].tensor.array.shape == (2048, 10)
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert not opened.document.state.recipe.steps


def test_the_line_is_dragged_in_whole_ranks_and_not_beyond_the_break_even(qtbot: QtBot, asked: FactorizeDialog) -> None:
    click_rank(qtbot, asked, 10)
    view = asked.plot.viewport()
    start, goal = place(asked, 10, 0.5), place(asked, 20.3, 0.5)
    QTest.mouseMove(view, start)
    QTest.mousePress(view, LEFT, pos=start)
    for part in range(1, 11):
        QTest.mouseMove(view, start + (goal - start) * part / 10, 5)
    assert asked.plot.cut.value() == asked.draft.ranks["dense"]
    QTest.mouseRelease(view, LEFT, pos=goal)
    assert asked.draft.ranks == {"dense": 20}
    assert asked.draft.candidate("dense").worth == 40
    click_rank(qtbot, asked, 39.9)
    assert asked.draft.ranks == {"dense": 39}


def test_keys_choose_ranks(qtbot: QtBot, asked: FactorizeDialog) -> None:
    asked.plot.setFocus()
    qtbot.keyClick(asked.plot, Qt.Key.Key_Left)  # the first key begins where the target is met
    first = asked.draft.ranks["dense"]
    assert asked.draft.spectra["dense"].energy[first] >= 0.9 > asked.draft.spectra["dense"].energy[first - 1]
    for key, held, rank in (
        (Qt.Key.Key_Left, Qt.KeyboardModifier.NoModifier, first - 1),
        (Qt.Key.Key_Left, SHIFT, first - 11),
        (Qt.Key.Key_Home, Qt.KeyboardModifier.NoModifier, 1),
        (Qt.Key.Key_Left, Qt.KeyboardModifier.NoModifier, 1),
        (Qt.Key.Key_Right, Qt.KeyboardModifier.NoModifier, 2),
        (Qt.Key.Key_End, Qt.KeyboardModifier.NoModifier, 39),
        (Qt.Key.Key_Right, SHIFT, 39),
    ):
        qtbot.keyClick(asked.plot, key, held)
        assert asked.draft.ranks == {"dense": rank}


def test_layers_that_cannot_be_smaller_say_so(qtbot: QtBot, asked: FactorizeDialog) -> None:
    for short, words in (("depth", "DepthwiseConv2dNative is not the product"), ("last", "No rank is smaller")):
        assert row(asked, short)[1] == "–"
        click_row(qtbot, asked, short, box=True)
        assert asked.reason.isVisible()
        assert words in asked.reason.text()
        assert not asked.draft.ranks


def test_a_target_chooses_all_ranks_and_boxes_take_layers_out(qtbot: QtBot, asked: FactorizeDialog) -> None:
    asked.amount.setValue(60.0)
    qtbot.mouseClick(asked.all_button, LEFT)
    assert set(asked.draft.ranks) == {"conv", "dense"}
    for name, rank in asked.draft.ranks.items():
        energy = asked.draft.spectra[name].energy
        assert energy[rank] >= 0.6 > energy[rank - 1]
    before = dict(asked.draft.ranks)
    click_row(qtbot, asked, "conv", box=True)
    assert set(asked.draft.ranks) == {"dense"}
    click_row(qtbot, asked, "conv", box=True)
    assert asked.draft.ranks == before
    qtbot.keyClick(asked.kind, Qt.Key.Key_Down)
    assert asked.amount.value() == pytest.approx(100 * np.sqrt(0.4), abs=0.01)
    qtbot.mouseClick(asked.none_button, LEFT)
    assert not asked.draft.ranks
    assert not asked.apply_button.isEnabled()


def test_a_step_s_ranks_are_edited(qtbot: QtBot, opened: MainWindow) -> None:
    opened.document.set_recipe(opened.document.state.recipe.adding(Factorize(energy=0.5)))
    settle(qtbot, opened)
    panel: RecipePanel = opened.recipe
    qtbot.keyClick(panel.chips[0], Qt.Key.Key_Return)
    asked = known(qtbot, opened)
    assert set(asked.draft.ranks) == {"conv", "dense"}
    assert opened.document.state.made.graph["dense/weights_first"].tensor.array.shape[1] == asked.draft.ranks["dense"]
    click_row(qtbot, asked, "dense", box=True)
    qtbot.mouseClick(asked.apply_button, LEFT)
    settle(qtbot, opened)
    (step,) = opened.document.state.recipe.steps
    assert dict(step.transform.ranks).keys() == {"conv"}
    assert "dense/weights" in opened.document.state.made.graph


def test_it_opens_once_when_the_recipe_is_ready_and_says_that_it_waits(qtbot: QtBot, opened: MainWindow) -> None:
    opened.document.set_recipe(opened.document.state.recipe.adding(Prune(sparsity=0.5)))
    assert opened.document.state.stale
    for _ in range(2):
        opened.recipe.add(Factorize())
    assert "still being applied" in opened.message.what.text()
    settle(qtbot, opened)
    assert len([found for found in opened.findChildren(FactorizeDialog) if found.isVisible()]) == 1
    known(qtbot, opened).reject()


def test_a_step_that_does_nothing_and_goes_does_not_move_the_ranks_to_another(qtbot: QtBot, opened: MainWindow) -> None:
    document = opened.document
    document.set_recipe(document.state.recipe.adding(Factorize(ranks=(("conv", 6),))))
    for sparsity in (0.5, 0.0):  # a slider that was moved and moved back
        document.prune_all(sparsity)
    settle(qtbot, opened)
    assert [type(step.transform) for step in document.state.recipe.steps] == [Prune, Factorize]
    qtbot.keyClick(opened.recipe.chips[1], Qt.Key.Key_Return)
    asked = known(qtbot, opened)
    click_row(qtbot, asked, "dense")
    click_rank(qtbot, asked, 10)
    qtbot.mouseClick(asked.apply_button, LEFT)
    settle(qtbot, opened)
    (step,) = document.state.recipe.steps
    assert step.transform == Factorize(ranks=(("conv", 6), ("dense", 10)))


def test_both_layers_are_counted_where_one_was(qtbot: QtBot, opened: MainWindow) -> None:
    opened.document.set_recipe(opened.document.state.recipe.adding(Factorize(ranks=(("dense", 10),))))
    settle(qtbot, opened)
    model = opened.layers.model
    at = model.row_of("dense")
    assert model.rows[at].size == 4 * 10 * (2048 + 40)
    assert model.data(model.index(at, Column.SIZE)) == "83.5 kB"
    opened.document.select("dense")
    qtbot.waitUntil(lambda: "range" in facts(opened.inspector.facts))
    shown = facts(opened.inspector.facts)
    assert shown["weights"] == "81,920 → 20,880"
    assert shown["bytes"] == "328 kB → 83.5 kB"
    assert shown["multiply-adds"] == "81.9 k → 20.9 k"
    assert shown["zeros"] == "0 %"


def test_curves_are_not_worked_out_in_the_window_s_thread(
    qtbot: QtBot, opened: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, of = [], Spectrum.of

    def watched(matrix: np.ndarray) -> Spectrum:
        threads.append(threading.current_thread())
        return of(matrix)

    monkeypatch.setattr(Spectrum, "of", staticmethod(watched))
    ask(qtbot, opened).reject()
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_a_slow_curve_does_not_hold_up_the_others_or_closing(
    qtbot: QtBot, opened: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun, of = threading.Event(), threading.Event(), Spectrum.of
    workers: list[threading.Thread] = []

    def slow(matrix: np.ndarray) -> Spectrum:
        if matrix.shape[0] == 2048:
            workers.append(threading.current_thread())
            begun.set()
            go.wait(30)
        return of(matrix)

    monkeypatch.setattr(Spectrum, "of", staticmethod(slow))
    opened.recipe.add(Factorize())
    asked: FactorizeDialog = dialog(opened, FactorizeDialog)
    try:
        qtbot.waitUntil(begun.is_set)
        assert "being worked out" in asked.reason.text()
        qtbot.mouseClick(asked.all_button, LEFT)
        assert not asked.apply_button.isEnabled()  # a rank is still to come
        asked.reject()  # at once
        assert workers[0].is_alive()
    finally:
        go.set()
    qtbot.waitUntil(lambda: not workers[0].is_alive())


def test_a_curve_that_cannot_be_worked_out_says_so(
    qtbot: QtBot, opened: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_matrix: np.ndarray) -> Spectrum:
        raise MemoryError

    monkeypatch.setattr(Spectrum, "of", staticmethod(fails))
    asked = ask(qtbot, opened)
    assert asked.reason.text() == "Its singular values could not be worked out: there is not enough memory."
    asked.reject()
