"""The form of retraining: what is chosen there is asked for, and what is missing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.cli.prune_channels import prune_channels
from compressor_gui.cli.prune_retrain import prune_retrain
from compressor_gui.core.data import DataSpec
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.protocol import Cancelled
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.training import Optimizing, PruneRetrain
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.data_dialog import DataDialog
from compressor_gui.gui.retrain.panel import RetrainPanel
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import command_s_optimizing, dialog
from tests.gui.test_window import settle

LEFT = Qt.MouseButton.LeftButton

pytestmark = pytest.mark.usefixtures("store")


def test_goal_and_choices_become_a_request(qtbot: QtBot, retrain: RetrainPanel, engine: FakeEngine) -> None:
    form = retrain.form
    for _ in range(3):
        qtbot.keyClick(form.goal, Qt.Key.Key_Down)
    assert form.goal.currentData() == "max_drop"
    form.amount.selectAll()
    qtbot.keyClicks(form.amount, "0.75")
    qtbot.keyClick(form.schedule, Qt.Key.Key_End)
    qtbot.keyClick(form.criterion, Qt.Key.Key_Down)
    qtbot.mouseClick(form.more_button, LEFT)
    form.fields["batch"].editor.setValue(5)  # type: ignore[attr-defined]
    form.fields["shift"].editor.setValue(1)  # type: ignore[attr-defined]
    qtbot.mouseClick(retrain.start_button, LEFT)
    request = engine.find(PruneRetrain)[1]
    assert request.goal.max_drop == pytest.approx(0.0075)
    assert (request.schedule, request.criterion) == ("rigl", "magnitude")
    assert (request.optimizing.batch, request.augmenting.shift) == (5, 1)
    assert (request.data, request.test) == (retrain.document.state.data, None)


def test_the_form_begins_with_the_command_s_values(qtbot: QtBot, retrain: RetrainPanel) -> None:
    form, data = retrain.form, retrain.document.state.data

    def optimizing() -> Optimizing:
        return form.request(ModelRef("m.pb"), data, None).optimizing

    assert optimizing() == command_s_optimizing(prune_retrain)
    qtbot.keyClick(form.goal, Qt.Key.Key_End)
    assert optimizing() == command_s_optimizing(prune_channels)
    form.fields["learning_rate"].editor.setValue(0.5)  # type: ignore[attr-defined]
    qtbot.keyClick(form.goal, Qt.Key.Key_Home)
    assert optimizing() == replace(command_s_optimizing(prune_retrain), learning_rate=0.5)


@pytest.mark.parametrize(
    ("kind", "amount", "goal"),
    [("ratio", 20, {"ratio": 20}), ("sparsity", 80, {"sparsity": 0.8}), ("bytes", 3, {"bytes": 3000})],
)
def test_every_goal_is_asked_for(
    qtbot: QtBot, retrain: RetrainPanel, engine: FakeEngine, kind: str, amount: float, goal: dict[str, float]
) -> None:
    retrain.form.goal.setCurrentIndex(retrain.form.goal.findData(kind))
    retrain.form.amount.setValue(amount)
    assert retrain.form.words.text()
    qtbot.mouseClick(retrain.start_button, LEFT)
    asked = engine.find(PruneRetrain)[1].goal
    assert {name: getattr(asked, name) for name in goal} == goal


def test_without_data_it_is_asked_for_first(qtbot: QtBot, opened: MainWindow, engine: FakeEngine) -> None:
    panel = opened.show_retrain()
    assert panel.start_button.text() == "Choose data …"
    assert "examples of yours" in panel.intro.text()
    qtbot.mouseClick(panel.start_button, LEFT)
    dialog(opened, DataDialog).reject()
    assert not engine.waits(PruneRetrain)


def test_other_data_is_tested_on(qtbot: QtBot, retrain: RetrainPanel, engine: FakeEngine, digits: Path) -> None:
    assert retrain.form.test.currentText() == "20 % held out"
    other = digits.with_name("others")
    digits.rename(other)
    digits.mkdir()
    with qtbot.waitSignal(retrain.document.background._finished):
        retrain.choice.choose_test(str(other))
    assert retrain.form.test.currentText() == "others"
    qtbot.mouseClick(retrain.start_button, LEFT)
    assert engine.find(PruneRetrain)[1].test.path == str(other)
    engine.say(PruneRetrain, Cancelled())
    qtbot.mouseClick(retrain.sections["Goal and data"].head, LEFT)
    qtbot.keyClick(retrain.form.test, Qt.Key.Key_Down)
    assert retrain.form.test.currentText() == "20 % held out"


def test_a_part_of_data_is_no_training_data(qtbot: QtBot, retrain: RetrainPanel, digits: Path) -> None:
    retrain.document.set(data=DataSpec("idx", str(digits), input="input", split="test"))
    assert "only its test part" in retrain.problem.text()


def test_nothing_to_retrain_says_what_to_do(qtbot: QtBot, retrain: RetrainPanel, opened: MainWindow) -> None:
    opened.document.set_recipe(Recipe.of(QuantizeWeights(minimum_size=0)))
    settle(qtbot, opened)
    assert retrain.empty.isVisible()
    assert "before quantizing" in retrain.empty.text.text()
    opened.document.undo()
    settle(qtbot, opened)
    assert not retrain.empty.isVisible()
