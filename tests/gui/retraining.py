"""What the tests of retraining share: pieces of a run, and a run that is played."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core import weight_store
from compressor_gui.core.protocol import Done, Piece
from compressor_gui.core.training import Batches, Epoch, News, Point, PruneRetrain, Retrained
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.retrain.panel import RetrainPanel
from tests.gui.fake_engine import FakeEngine

LEFT = Qt.MouseButton.LeftButton


def weights(opened: MainWindow, kept: float) -> dict[str, np.ndarray]:
    """The model's weights, of which only the largest are kept."""
    found = {}
    for layer in opened.document.state.source.layers:
        values = layer.weights.copy()
        values[np.abs(values) < np.quantile(np.abs(values), 1 - kept)] = 0
        found[layer.weight] = values
    return found


def batches(step: int, epoch: int, at: int, loss: float = 0.5) -> News:
    """Of 10 batches an epoch and 40 in all."""
    return News(batches=Batches(step, epoch, 10 * (epoch - 1) + at, 40, loss, 1e-3, 1234.0))


def epoch(step: int, number: int, value: float, kept: float, checkpoint: str = "") -> News:
    densities = {"conv": min(1.0, 2 * kept), "dense": kept}
    return News(epoch=Epoch(step, number, 0.4 / number, value, 1 - kept, 1e-3, 2.0, densities, checkpoint))


def point(opened: MainWindow, step: int, value: float) -> Point:
    kept = 0.5**step
    sha = weight_store.save(weights(opened, kept)) if step else ""
    return Point(step, 1000, round(1000 * kept), 4000, value, {"conv": kept, "dense": kept}, sha, 2 * step)


class Run:
    """A run that has been started, and how it is played."""

    def __init__(self, qtbot: QtBot, opened: MainWindow, engine: FakeEngine, retrain: RetrainPanel) -> None:
        self.qtbot, self.opened, self.engine, self.panel = qtbot, opened, engine, retrain
        qtbot.mouseClick(retrain.start_button, LEFT)
        self.points = [point(opened, step, value) for step, value in enumerate((0.95, 0.94, 0.9))]

    def say(self, *pieces: object) -> None:
        """Let pieces come, and wait until they are shown."""
        with self.qtbot.waitSignal(self.panel.retrainer.changed):
            for piece in pieces:
                self.engine.say(self.kind, Piece(piece))

    @property
    def kind(self) -> type:
        return type(self.panel.retrainer.request)

    def first_step(self, checkpoint: str = "") -> None:
        """The dense point, two epochs, and the first point."""
        self.say(
            News(point=self.points[0]),
            *(batches(1, 1, at, 1.0 / at) for at in (5, 10)),
            epoch(1, 1, 0.93, 0.5, checkpoint),
            *(batches(1, 2, at) for at in (5, 10)),
            epoch(1, 2, 0.94, 0.5, checkpoint),
            News(point=self.points[1]),
        )

    def answer(self, upto: int, chosen: int, lacks: str = "", stopped: str = "", test_n: int = 20) -> None:
        """The run's end."""
        points = tuple(self.points[:upto])
        self.engine.say(
            PruneRetrain, Done(Retrained(metric="top1", points=points, chosen=chosen, epochs=(), train_n=80,
                                         test_n=test_n, lacks=lacks, stopped=stopped, seconds=9.0))
        )  # fmt: skip

    def click(self, at: int) -> None:
        """Click on a point of the plot."""
        plot = self.panel.points.plot
        self.panel.area.ensureWidgetVisible(plot)
        plot.grab()  # lays it out
        scene = plot.getPlotItem().getViewBox().mapViewToScene(QPointF(*plot.place(at)))
        self.qtbot.mouseClick(plot.viewport(), LEFT, pos=plot.mapFromScene(scene))
