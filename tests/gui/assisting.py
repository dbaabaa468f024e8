"""What the tests of the Quantize assistant share."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core.adaround import Adaround
from compressor_gui.core.choose import ChooseRegions
from compressor_gui.core.measure import Calibrate, Calibration, Evaluate, Latency, Preview
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.protocol import Done
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.gui.assistant.dialog import AssistantDialog
from compressor_gui.gui.main_window import MainWindow
from tests.gui.fake_engine import FakeEngine, histogram
from tests.gui.measuring import dialog

LEFT = Qt.MouseButton.LeftButton


def open_it(qtbot: QtBot, window: MainWindow) -> AssistantDialog:
    """Click the toolbar's button."""
    qtbot.mouseClick(window.toolbar.quantize_button, LEFT, pos=QPoint(12, 12))
    shown: AssistantDialog = dialog(window, AssistantDialog)
    qtbot.waitUntil(lambda: shown.draft.subject is not None)
    return shown


def answer_ranges(engine: FakeEngine, window: MainWindow) -> Calibrate:
    """Answer the rounding, and a calibration with ranges of nodes that are there."""
    if engine.waits(Adaround):
        engine.answer(Adaround)
    _, request = engine.find(Calibrate)
    recipe = Recipe.from_json(request.model.recipe)
    graph = Replayer(window.document.state.source.graph).replay(Recipe(recipe.steps[:-1])).graph  # type: ignore[union-attr]
    step = recipe.active[-1]
    assert isinstance(step, FuseInt8)
    ranges = {name: (0.0, 9.0) if "relu" in name else (-1.0, 9.0) for name in step.activations(graph)}
    engine.say(Calibrate, Done(Calibration(10, request.method, ranges, dict.fromkeys(ranges, histogram()))))
    return request  # type: ignore[no-any-return]


def to_result(qtbot: QtBot, shown: AssistantDialog, engine: FakeEngine) -> None:
    """Go on to the last step."""
    for _ in range(3):
        qtbot.mouseClick(shown.next_button, LEFT)
        if engine.waits(Preview):
            engine.answer(Preview)
    assert shown.step == 3


def measure_all(qtbot: QtBot, shown: AssistantDialog, engine: FakeEngine, window: MainWindow) -> None:
    """Answer what the last step asks."""
    answer_ranges(engine, window)
    engine.answer(ChooseRegions)
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    engine.answer(Evaluate)
    engine.answer(Latency)
