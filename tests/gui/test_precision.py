"""Mixed precision in the window, with an engine that answers what the test wants."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.mixed import Path
from compressor_gui.core.mixed_job import FindPrecision, LayerOptions, MeasuredPoint, Precision
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.mixed_precision import MixedPrecision
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.protocol import Cancelled, Done, Failed, Progress
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.panel import MeasurePanel
from compressor_gui.gui.precision.dialog import PrecisionDialog
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import dialog, facts
from tests.gui.test_window import CTRL, press, settle

LEFT = Qt.MouseButton.LeftButton

FOUND = Precision(
    "sqnr_db",
    25.0,
    EXACT_DB,
    10,
    False,
    (
        LayerOptions("conv", (32, 8, 4), (4000, 1000, 500), (EXACT_DB, 40.0, 20.0)),
        LayerOptions("dense", (32, 8, 4), (8000, 2000, 1000), (EXACT_DB, 45.0, 27.0)),
    ),
    Path(
        {"conv": 32, "dense": 32},
        (("dense", 8), ("conv", 8), ("dense", 4), ("conv", 4)),
        (13000, 7000, 4000, 3000, 2500),
        (0.0, 3e-5, 1.3e-4, 2e-3, 1.2e-2),
    ),
    (MeasuredPoint(3, 26.0, 3000, (("softmax", 26.0),)), MeasuredPoint(4, 18.0, 2500, (("softmax", 18.0),))),
    4.2,
)


@pytest.fixture
def asked(qtbot: QtBot, panel: MeasurePanel, opened: MainWindow) -> PrecisionDialog:
    """The dialog, open."""
    press(qtbot, opened, Qt.Key.Key_4, CTRL)
    found: PrecisionDialog = dialog(opened, PrecisionDialog)
    return found


def found_by(asked: PrecisionDialog, engine: FakeEngine, qtbot: QtBot, answer: Precision = FOUND) -> FindPrecision:
    """Press Find and answer; the request."""
    qtbot.mouseClick(asked.run_button, LEFT)
    _, request = engine.find(FindPrecision)
    engine.say(FindPrecision, Done(answer))
    assert isinstance(request, FindPrecision)
    return request


def bits(asked: PrecisionDialog) -> list[str]:
    return [asked.table.item(row, 1).text() for row in range(asked.table.rowCount())]


def click(qtbot: QtBot, asked: PrecisionDialog, at: int) -> None:
    """Click on a point of the curve."""
    plot = asked.plot
    plot.grab()  # lays it out
    x, y = float(FOUND.path.costs[at]), plot.height_of(asked.finder.found.estimates[at])
    scene = plot.getPlotItem().getViewBox().mapViewToScene(QPointF(x, y))
    qtbot.mouseClick(plot.viewport(), LEFT, pos=plot.mapFromScene(scene))


def test_a_target_is_found_and_a_point_used(
    qtbot: QtBot, asked: PrecisionDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    assert not asked.body.isVisible()
    assert "digits" in asked.words.text()
    assert not asked.use_button.isEnabled()
    request = found_by(asked, engine, qtbot)
    assert (request.min_sqnr_db, request.max_drop, request.fused) == (25.0, None, False)
    assert asked.at == 3
    assert bits(asked) == ["8 bits", "4 bits"]
    assert facts(asked.facts) == {"file": "3.00 kB", "worst output, measured": "26.0 dB"}
    assert "2 points of 5 measured on 10 examples" in asked.words.text()
    qtbot.mouseClick(asked.use_button, LEFT)
    assert not asked.isVisible()
    step = MixedPrecision(bits=(("conv", 8.0), ("dense", 4.0)))
    assert opened.document.state.recipe.active == (step,)
    settle(qtbot, opened)
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    assert opened.document.state.recipe.active == ()


def test_points_are_chosen_by_clicks_and_keys(qtbot: QtBot, asked: PrecisionDialog, engine: FakeEngine) -> None:
    found_by(asked, engine, qtbot)
    click(qtbot, asked, 1)
    assert asked.at == 1
    assert bits(asked) == ["float", "8 bits"]
    assert facts(asked.facts)["worst output, estimated"].startswith("≈ ")
    for key, at in (
        (Qt.Key.Key_Left, 2),
        (Qt.Key.Key_Right, 1),
        (Qt.Key.Key_Home, 4),
        (Qt.Key.Key_Left, 4),
        (Qt.Key.Key_End, 0),
        (Qt.Key.Key_Space, 3),
    ):
        qtbot.keyClick(asked.plot, key)
        assert asked.at == at
    click(qtbot, asked, 4)
    assert facts(asked.facts)["worst output, measured"] == "18.0 dB"
    nowhere = asked.plot.viewport().rect().topLeft()
    qtbot.mouseClick(asked.plot.viewport(), LEFT, pos=nowhere)
    assert asked.at == 4


def test_the_untouched_point_takes_the_step_away(
    qtbot: QtBot, asked: PrecisionDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    found_by(asked, engine, qtbot)
    opened.document.set_recipe(Recipe.of(Prune(sparsity=0.5), MixedPrecision(rest=8)))
    settle(qtbot, opened)
    assert not asked.use_button.isEnabled()  # it was found without the pruning
    assert "find again" in asked.words.text()
    request = found_by(asked, engine, qtbot)
    assert Recipe.from_json(request.model.recipe).active == (Prune(sparsity=0.5),)
    click(qtbot, asked, 0)
    qtbot.mouseClick(asked.use_button, LEFT)
    assert opened.document.state.recipe.active == (Prune(sparsity=0.5),)


def test_it_runs_in_the_background_and_is_cancelled(
    qtbot: QtBot, asked: PrecisionDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    asked.kind.setCurrentIndex(1)
    asked.amount.setValue(0.5)
    qtbot.mouseClick(asked.run_button, LEFT)
    assert engine.find(FindPrecision)[1].max_drop == pytest.approx(0.005)
    engine.say(FindPrecision, Progress(3, 12, "sensitivity: conv"))
    assert asked.words.text() == "sensitivity: conv"
    assert asked.bar.value() == 250
    asked.close()
    press(qtbot, opened, Qt.Key.Key_4, CTRL)
    again = dialog(opened, PrecisionDialog)
    assert again.run_button.text() == "Cancel"
    qtbot.mouseClick(again.run_button, LEFT)
    assert engine.cancelled
    engine.say(FindPrecision, Cancelled())
    assert again.run_button.text() == "Find"
    assert not again.body.isVisible()
    again.close()


def test_what_is_wrong_is_said(qtbot: QtBot, asked: PrecisionDialog, engine: FakeEngine) -> None:
    qtbot.mouseClick(asked.run_button, LEFT)
    error = CompressorError("these examples have no labels, so there is no top-1")
    engine.say(FindPrecision, Failed(error.what, error.where, error.hint))
    assert asked.problem.isVisible()
    assert "These examples have no labels" in asked.problem.text()
    found_by(asked, engine, qtbot, replace(FOUND, target=40.0))
    assert asked.problem.text() == (
        "No point meets the target: the best point found has 26.0 dB on softmax, 14.0 dB less than the target."
    )
    asked.close()


def test_fused_layers_or_float(qtbot: QtBot, asked: PrecisionDialog, engine: FakeEngine, opened: MainWindow) -> None:
    asked.choices.setCurrentIndex(1)
    assert not asked.choices.model().item(1).isEnabled()  # type: ignore[attr-defined]
    ranges = (("bias", (-1.0, 9.0)), ("input", (0.0, 1.0)))
    opened.document.set_recipe(Recipe.of(FuseInt8(ranges=ranges)))
    settle(qtbot, opened)
    asked.choices.setCurrentIndex(1)
    fused = replace(
        FOUND,
        fused=True,
        layers=tuple(replace(layer, bits=(32, 8), cost=(90, 0), db=(EXACT_DB, 40.0)) for layer in FOUND.layers),
        path=Path({"conv": 32, "dense": 32}, (("dense", 8), ("conv", 8)), (180, 90, 0), (0.0, 1e-3, 1e-2)),
        measured=(MeasuredPoint(1, 30.0, 9000, (("softmax", 30.0),)), MeasuredPoint(2, 20.0, 5000, ())),
    )
    request = found_by(asked, engine, qtbot, fused)
    assert request.fused
    assert request.ranges == dict(ranges)
    assert Recipe.from_json(request.model.recipe or Recipe().to_json()).active == ()
    assert bits(asked) == ["float", "int8"]
    assert facts(asked.facts)["file"] == "9.00 kB"
    qtbot.mouseClick(asked.use_button, LEFT)
    assert opened.document.state.recipe.active == (FuseInt8(ranges=ranges, skip=("conv",)),)
