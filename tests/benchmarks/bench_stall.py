"""The longest stall of the window's event loop while the engine works, TensorFlow on every processor: what stands
between two ticks of a timer of one millisecond, while the graph is panned."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

os.environ.update(QT_QPA_PLATFORM="offscreen")

from PySide6.QtCore import QEventLoop, QPointF, Qt, QTimer
from PySide6.QtWidgets import QApplication

from compressor_gui.core.jobs import CheckExport
from compressor_gui.core.measure import Latency, ModelRef
from compressor_gui.core.protocol import Request
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.theme import Theme, load_fonts
from tests.benchmarks.report import Row, main, model_file

LIMIT = 50
FRAME_MS = 16
PATIENCE_MS = 300_000


def clocks() -> tuple[float, float, float]:
    """Milliseconds: of the clock, of this thread on a processor, and of its waiting for one (0 where not known)."""
    try:
        busy, waiting = map(int, Path("/proc/thread-self/schedstat").read_text().split()[:2])
    except (OSError, ValueError):
        busy, waiting = time.thread_time_ns(), 0
    return 1e3 * time.perf_counter(), busy / 1e6, waiting / 1e6


@dataclass
class Probe:
    """Notes when a timer ticks: of the longest time between two ticks, what :func:`clocks` say."""

    longest: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ticks: int = 0
    _last: tuple[float, float, float] = field(default_factory=clocks)

    def tick(self) -> None:
        now = clocks()
        self.ticks += 1
        total, busy, waiting = (new - old for new, old in zip(now, self._last, strict=True))
        self.longest = max(self.longest, (total, busy, waiting))
        self._last = now


def run_until(begin: Callable[[Callable[[], None]], object]) -> None:
    """Run the event loop until what ``begin`` starts calls back."""
    loop = QEventLoop()
    QTimer.singleShot(PATIENCE_MS, loop, lambda: loop.exit(1))
    begin(loop.quit)
    if loop.exec():
        raise TimeoutError("it did not end in five minutes")


def open_window(path: Path, folder: str) -> MainWindow:
    """The window with a graph that has been laid out and looked through."""
    window = MainWindow(Settings(Path(folder, "settings.ini")), Theme("light"))
    window.resize(1280, 800)
    window.show()
    window.open(path)
    end = time.monotonic() + 120
    while not (window.document.state.magnitudes and window.graph.canvas.scene is not None):
        QApplication.processEvents()
        if time.monotonic() > end:
            raise TimeoutError("the graph was not shown within two minutes")
    window.inspector.show()  # made with the first graph, not with the first job
    QApplication.processEvents()
    return window


def longest_stall(window: MainWindow, request: Request, title: str) -> Probe:
    """Do a job while the graph is panned every 16 ms."""
    ticks, frames = QTimer(), QTimer()
    ticks.setTimerType(Qt.TimerType.PreciseTimer)
    probe = Probe()
    ticks.timeout.connect(probe.tick)
    moves = cycle([QPointF(7, 5), QPointF(-7, -5)])
    frames.timeout.connect(lambda: window.graph.canvas.pan(next(moves)))
    problems: list[str] = []

    def begin(end: Callable[[], None]) -> None:
        def ended(result: object) -> None:
            if isinstance(result, Exception):
                problems.append(str(result))
            end()

        window.engine.submit(request, title, ended, ended, end)
        ticks.start(1)
        frames.start(FRAME_MS)

    run_until(begin)
    if problems:
        raise RuntimeError(problems[0])
    return probe


def rows() -> Iterator[Row]:
    """The first job starts TensorFlow too."""
    app = QApplication([])
    app.setStyle("Fusion")
    load_fonts()
    sys.setswitchinterval(0.002)  # as the application does
    path = model_file("blazepose-heavy", 1_000, 55)
    model = ModelRef(str(path))
    with tempfile.TemporaryDirectory(prefix="compressor-bench-") as folder:
        window = open_window(path, folder)
        assert window.document.state.source is not None
        outputs = window.document.state.source.graph.outputs
        jobs = {
            "latency, and the start of TensorFlow": Latency(model, runs=20),
            "latency": Latency(model, model, runs=40),
            "check of an export": CheckExport(str(path), str(path), outputs),
        }
        for name, request in jobs.items():
            probe = longest_stall(window, request, name)
            total, busy, waiting = probe.longest
            note = f"{busy:.3g} ms at work, {waiting:.3g} ms waiting for a processor; {probe.ticks:,} ticks"
            yield Row(f"{path.stem}, {name}", total, "ms", LIMIT, note)
        window.close()


if __name__ == "__main__":
    main("Stall: the window's event loop while the engine works, 1280x800, panned all the time", rows)
