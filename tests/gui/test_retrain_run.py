"""A run of retraining through the window, with an engine that plays what the test wants, and its course."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QLabel
from pytestqt.qtbot import QtBot

from compressor_gui.core import weight_store
from compressor_gui.core.channel_pruning import ChannelNews, ChannelPoint, ChannelsPruned, PruneChannels
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import Evaluate, ImportModel
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.protocol import Cancelled, Died, Done, Failed, Progress
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.training import News, PruneRetrain, Retrained
from compressor_gui.gui.leaving import LeaveDialog
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.retrain.panel import RetrainPanel
from compressor_gui.gui.training.course import Course
from compressor_gui.gui.training.curve import thinned
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import dialog, facts
from tests.gui.retraining import Run, batches, epoch, weights
from tests.gui.test_window import CTRL, press, settle

LEFT = Qt.MouseButton.LeftButton

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def run(qtbot: QtBot, opened: MainWindow, engine: FakeEngine, retrain: RetrainPanel) -> Run:
    return Run(qtbot, opened, engine, retrain)


# -- a run -------------------------------------------------------------------------------------------------------------


def test_a_run_is_watched_paused_and_kept(run: Run, qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    panel, bar = run.panel, run.panel.run_bar
    assert not panel.form.isEnabled()
    assert bar.words.text() == "Waits for TensorFlow"
    run.engine.say(PruneRetrain, Progress(0, 0, "reading the model"))
    checkpoint = tmp_path / "checkpoint.npz"
    kept = {f"weights/{name}": values for name, values in weights(opened, 0.5).items()}
    checkpoint.write_bytes(weight_store.to_bytes(kept))
    run.first_step(str(checkpoint))
    run.engine.say(PruneRetrain, Progress(20, 40, "step 1"))
    run.say(batches(2, 3, 5, 0.7))
    assert bar.bar.value() == 500
    assert bar.words.text() == "Step 2, epoch 3 · 1,234 examples a second"
    assert panel.curves.loss.now.text() == "0.7000"
    assert panel.curves.value.now.text() == "94.00 %"
    assert panel.curves.value.more.text() == "was 95.00 %"
    assert panel.curves.sparsity.now.text() == "50.0 %"
    assert panel.densities.lines == {"conv": "100 %", "dense": "50.0 %"}
    qtbot.waitUntil(lambda: panel.weights.shown == ("dense", 2))
    picture = panel.weights.picture._picture
    assert picture is not None
    assert (picture.indices == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert opened.document.state.recipe.active == ()
    qtbot.mouseClick(bar.pause_button, LEFT)
    assert bar.pause_button.text() == "Resume"
    assert bar.words.text() == "Paused in epoch 3"
    qtbot.mouseClick(bar.pause_button, LEFT)
    assert bar.pause_button.text() == "Pause"
    qtbot.mouseClick(bar.keep_button, LEFT)
    assert run.engine.told == ["pause", "go_on", "finish"]
    assert not bar.keep_button.isEnabled()
    assert opened.document.state.recipe.active == ()
    run.answer(2, 1, "it has 2x, and 10x was wanted", "it was stopped; the same request goes on from the last epoch")
    step = Weights(run.points[1].sha256, "retraining, 2x")
    assert opened.document.state.recipe.active == (step,)
    assert bar.outcome.text() == (
        "It was stopped; the same request goes on from the last epoch. "
        "The goal is not met: it has 2x, and 10x was wanted. Top-1 94.00 %, was 95.00 % (−1.00 points); "
        "95 % interval 76.4 … 99.1 % on 20 test examples."
    )
    settle(qtbot, opened)
    assert opened.status.accuracy.text() == "top-1 95.0 → 94.0 %"
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    assert opened.document.state.recipe.active == ()


def test_points_are_opened_by_clicks_and_keys(run: Run, qtbot: QtBot, opened: MainWindow) -> None:
    run.first_step()
    run.say(batches(2, 3, 10), epoch(2, 3, 0.9, 0.25), News(point=run.points[2]))
    points = run.panel.points
    assert points.at == 2
    assert facts(points.facts)["weights"] == "250 of 1.00 k"
    assert facts(points.facts)["top-1"] == "90.00 %  −5.00 points"
    assert points.plot.spots.goal_x == pytest.approx(100)
    run.click(1)
    assert opened.document.state.recipe.active == (Weights(run.points[1].sha256, "retraining, 2x"),)
    assert points.at == 1
    assert points.use_button.text() == "In the recipe"
    assert run.panel.retrainer.is_running
    settle(qtbot, opened)
    qtbot.keyClick(points.plot, Qt.Key.Key_Left)
    assert points.at == 2
    assert opened.document.state.recipe.active[0].sha256 == run.points[1].sha256
    qtbot.keyClick(points.plot, Qt.Key.Key_Return)
    assert opened.document.state.recipe.active == (Weights(run.points[2].sha256, "retraining, 4x"),)
    run.answer(3, 2)
    assert run.panel.run_bar.outcome.text() == (
        "The goal is met: 4×. Top-1 90.00 %, was 95.00 % (−5.00 points); 95 % interval 69.9 … 97.2 % on 20 test "
        "examples."
    )
    assert not run.panel.run_bar.best_button.isVisible()
    for left in ((Weights(run.points[1].sha256, "retraining, 2x"),), ()):
        settle(qtbot, opened)
        press(qtbot, opened, Qt.Key.Key_Z, CTRL)
        assert opened.document.state.recipe.active == left
    qtbot.mouseClick(run.panel.run_bar.best_button, LEFT)
    assert opened.document.state.recipe.active == (Weights(run.points[2].sha256, "retraining, 4x"),)


def test_bytes_and_a_line_for_the_accuracy(run: Run, qtbot: QtBot, engine: FakeEngine) -> None:
    run.first_step()
    qtbot.mouseClick(run.panel.points.by_bytes, LEFT)
    spots = run.panel.points.plot.spots
    assert spots.x == (4000, 4000)
    assert spots.goal_x is None
    assert spots.x_words[0] == "4.00 kB"


def test_discard_leaves_all_as_it_was(run: Run, qtbot: QtBot, opened: MainWindow) -> None:
    run.first_step()
    qtbot.mouseClick(run.panel.run_bar.discard_button, LEFT)
    assert run.engine.cancelled
    run.engine.say(PruneRetrain, Cancelled())
    assert run.panel.retrainer.request is None
    assert not run.panel.run_bar.isVisible()
    assert not run.panel.points.isVisible()
    assert run.panel.start_button.isVisible()
    assert run.panel.form.isEnabled()
    assert opened.document.state.recipe.active == ()
    assert not opened.document.state.can_undo


def test_an_engine_that_ends_is_asked_again(run: Run, qtbot: QtBot, opened: MainWindow) -> None:
    run.first_step("somewhere.npz")
    asked = run.panel.retrainer.request
    run.engine.say(PruneRetrain, Died("TensorFlow's process ended"))
    bar = run.panel.run_bar
    assert bar.outcome.text().startswith("TensorFlow's process ended")
    assert bar.words.text() == "Start again goes on after epoch 2, whose checkpoint is kept."
    run.click(1)  # what was there still is
    assert len(opened.document.state.recipe.active) == 1
    settle(qtbot, opened)
    qtbot.mouseClick(bar.again_button, LEFT)
    assert run.engine.find(PruneRetrain)[1] == asked
    run.say(epoch(1, 1, 0.93, 0.5), epoch(1, 2, 0.94, 0.5), News(point=run.points[0]), News(point=run.points[1]))
    run.say(batches(2, 3, 5))
    assert "went on after epoch 2, from its checkpoint" in bar.words.text()


def test_notes_and_errors_are_shown(run: Run, qtbot: QtBot, opened: MainWindow) -> None:
    run.say(News(note="class 'seven' has no example"), News(note="class 'seven' has no example"))
    assert run.panel.notes.text() == "Class 'seven' has no example."
    opened.document.prune_all(0.5)
    opened.document.end_merge()
    assert "recipe has changed" in run.panel.notes.text()
    settle(qtbot, opened)
    error = CompressorError("these examples have no labels", hint="choose fidelity")
    run.engine.say(PruneRetrain, Failed(error.what, error.where, error.hint))
    assert run.panel.run_bar.outcome.text() == "These examples have no labels (choose fidelity)"
    qtbot.mouseClick(run.panel.run_bar.forget_button, LEFT)
    assert not run.panel.run_bar.isVisible()
    assert opened.document.state.recipe.active == (Prune(sparsity=0.5),)


def test_channels_are_removed_until_it_is_faster(
    qtbot: QtBot, opened: MainWindow, engine: FakeEngine, retrain: RetrainPanel
) -> None:
    for _ in range(4):
        qtbot.keyClick(retrain.form.goal, Qt.Key.Key_Down)
    assert not retrain.form.schedule.isVisible()
    run = Run(qtbot, opened, engine, retrain)
    request = engine.find(PruneChannels)[1]
    assert (request.speedup, request.steps) == (1.5, 3)
    recipe = Recipe.of(Prune(sparsity=0.25)).to_json()
    first = ChannelPoint(0, 0.0, "", 1000, 4000, 0.95, 1.0, 0.0)
    second = ChannelPoint(1, 0.3, recipe, 600, 2400, 0.94, 1.4, 0.7)
    inner = [batches(1, 1, 10), epoch(1, 1, 0.93, 1.0), batches(1, 2, 10), epoch(1, 2, 0.94, 1.0)]
    run.say(ChannelNews(point=first), *map(ChannelNews, inner), ChannelNews(point=second))
    run.say(*map(ChannelNews, inner[:2]))
    assert [place for place, _ in retrain.retrainer.course.epochs] == [1, 2, 3]
    assert not retrain.densities.isVisible()
    assert facts(retrain.points.facts)["point 1"] == "1.4× as fast"
    run.click(1)
    assert opened.document.state.recipe.active == (Prune(sparsity=0.25),)
    answer = ChannelsPruned(metric="top1", points=(first, second), chosen=1, lacks="it is 1.4 times as fast")
    engine.say(PruneChannels, Done(answer))
    assert retrain.run_bar.outcome.text() == (
        "The goal is not met: it is 1.4 times as fast. Top-1 94.00 %, was 95.00 % (−1.00 points)."
    )


def test_quitting_asks_while_a_run_is_under_way(run: Run, qtbot: QtBot, opened: MainWindow) -> None:
    run.first_step("somewhere.npz")
    press(qtbot, opened, Qt.Key.Key_Q, CTRL)
    asked = dialog(opened, LeaveDialog)
    assert any("goes on from there" in words.text() for words in asked.findChildren(QLabel))
    qtbot.keyClick(asked, Qt.Key.Key_Return)  # stays
    assert opened.isVisible()
    assert run.panel.retrainer.is_running
    opened.windowHandle().close()  # as by the button of the window's frame
    assert opened.isVisible()
    qtbot.mouseClick(dialog(opened, LeaveDialog).yes_button, LEFT)
    assert not opened.isVisible()


def test_quitting_asks_nothing_where_nothing_runs(run: Run, qtbot: QtBot, opened: MainWindow) -> None:
    run.first_step()
    run.answer(2, 1)
    press(qtbot, opened, Qt.Key.Key_Q, CTRL)
    assert not opened.isVisible()


def test_another_model_ends_the_run_where_that_is_agreed_to(
    run: Run, qtbot: QtBot, opened: MainWindow, tmp_path: Path
) -> None:
    run.first_step()
    source = opened.document.state.source
    other = tmp_path / "other.pb"
    other.write_bytes(source.path.read_bytes())
    opened.open(other)
    asked = dialog(opened, LeaveDialog)
    assert any("Opening another model ends it" in words.text() for words in asked.findChildren(QLabel))
    qtbot.keyClick(asked, Qt.Key.Key_Escape)
    assert run.panel.retrainer.is_running
    assert opened.document.state.source is source
    opened.open(other)
    qtbot.mouseClick(dialog(opened, LeaveDialog).yes_button, LEFT)
    qtbot.waitUntil(lambda: bool(run.engine.cancelled))
    run.engine.say(PruneRetrain, Cancelled())
    assert run.panel.retrainer.request is None
    settle(qtbot, opened)


def test_an_import_does_not_wait_for_a_run_that_it_ends(
    run: Run, qtbot: QtBot, opened: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.first_step()
    keras = tmp_path / "net.keras"
    keras.write_bytes(b"")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "net.pb"), ""))
    opened.open(keras)
    assert not run.engine.waits(ImportModel)
    qtbot.mouseClick(dialog(opened, LeaveDialog).yes_button, LEFT)
    qtbot.waitUntil(lambda: run.engine.waits(ImportModel))
    assert run.engine.cancelled
    run.engine.say(PruneRetrain, Cancelled())
    run.engine.say(ImportModel, Cancelled())


def test_an_accuracy_that_fell_beyond_chance_is_a_warning(run: Run) -> None:
    run.first_step()
    run.say(News(point=run.points[2]))
    run.answer(3, 2, test_n=20)
    outcome = run.panel.run_bar.outcome
    assert outcome.property("role") == "good"  # 20 examples can't tell 90 % from 95 %
    run.qtbot.mouseClick(run.panel.run_bar.forget_button, LEFT)
    again = Run(run.qtbot, run.opened, run.engine, run.panel)
    again.first_step()
    again.say(News(point=again.points[2]))
    again.answer(3, 2, test_n=1000)
    assert outcome.property("role") == "warning"
    assert "95 % interval 88.0 … 91.7 % on 1,000 test examples: more is lost than chance explains." in outcome.text()


def test_an_answer_that_is_noise_is_a_warning(run: Run) -> None:
    run.first_step()
    found = [
        replace(point, metric="sqnr_db", value=value)
        for point, value in zip(run.points[:2], (EXACT_DB, 0.4), strict=True)
    ]
    run.engine.say(
        PruneRetrain, Done(Retrained(metric="sqnr_db", points=tuple(found), chosen=1, epochs=(), train_n=80, test_n=20))
    )
    assert run.panel.run_bar.outcome.text() == "The goal is met: 2×. SQNR 0.4 dB."
    assert run.panel.run_bar.outcome.property("role") == "warning"


def test_learning_from_test_examples_is_said(run: Run, qtbot: QtBot, opened: MainWindow, digits: Path) -> None:
    panel, engine = run.panel, run.engine
    assert not panel.choice.note.isVisible()
    run.answer(1, 0)
    qtbot.mouseClick(panel.run_bar.forget_button, LEFT)
    for file in digits.iterdir():
        file.rename(file.with_name(f"t10k-{file.name.removeprefix('t-')}"))
    images = digits / "t10k-images-idx3-ubyte"
    opened.document.set(data=DataSpec("idx", str(images), input="input"))
    assert panel.choice.note.isVisible()
    assert "test examples" in panel.choice.note.text()
    assert panel.choice.button.text().startswith("digits/t10k")
    again = Run(qtbot, opened, engine, panel)
    again.first_step()
    again.click(1)
    settle(qtbot, opened)
    opened.show_measure(lambda measure: measure.evaluate())
    engine.say(PruneRetrain, Cancelled())
    engine.answer(Evaluate)
    assert facts(opened.measure.accuracy.facts)["trained on"] == "some of these"
    opened.document.undo()
    settle(qtbot, opened)
    opened.measure.evaluate()
    engine.answer(Evaluate)
    assert "trained on" not in facts(opened.measure.accuracy.facts)


# -- the course --------------------------------------------------------------------------------------------------------


def test_a_course_that_goes_on_from_a_checkpoint_has_no_piece_twice() -> None:
    course = Course()
    told = [batches(1, 1, 5), batches(1, 1, 10), epoch(1, 1, 0.9, 0.5), batches(1, 2, 5), batches(1, 2, 8)]
    for piece in told:
        course.take(piece)
    assert [place for place, _ in course.losses] == [0.5, 1.0, 1.5, 1.8]
    assert course.expected == 4
    for piece in (told[2], told[3]):  # the process was started anew
        course.take(piece)
    assert [place for place, _ in course.losses] == [0.5, 1.0, 1.5]
    assert [place for place, _ in course.epochs] == [1]


def test_long_curves_are_thinned_to_means() -> None:
    x, y = thinned([(float(at), float(at % 2)) for at in range(10_000)], 100)
    assert len(x) == 100
    assert np.allclose(y, 0.5)
    assert x[0] == pytest.approx(49.5)
    assert thinned([]) == (pytest.approx([]), pytest.approx([]))
