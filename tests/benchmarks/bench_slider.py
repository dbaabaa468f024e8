"""A frame of dragging a layer's slider in the whole window, with 100 million weights open: the document changes, every
view follows and is painted, while the exact result is worked out behind it."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator

os.environ.update(QT_QPA_PLATFORM="offscreen")

from PySide6.QtWidgets import QApplication

from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.theme import Theme
from tests.benchmarks.report import Row, main, synthetic_file

FRAMES = 200
LIMIT = 16


def wait(app: QApplication, until: Callable[[], bool]) -> None:
    """Let the window work."""
    end = time.monotonic() + 120
    while not until():
        app.processEvents()
        if time.monotonic() > end:
            raise TimeoutError("the window did not get there within two minutes")


def rows() -> Iterator[Row]:
    """The median frame, and how long the slowest in twenty takes."""
    path = synthetic_file(1_000, 400)
    app = QApplication([])
    sys.setswitchinterval(0.002)  # as the application does
    window = MainWindow(Settings(path.with_suffix(".ini")), Theme("light"))
    window.resize(1280, 800)
    window.show()
    window.open(path)
    document, layers = window.document, window.layers
    wait(app, lambda: bool(document.state.magnitudes) and document.state.made is not None)
    row = len(layers.model.rows) // 2
    frames, busy = [], []
    for number in range(FRAMES):
        start, start_busy = time.perf_counter(), time.thread_time()
        layers.drag_frame(row, 0.2 + 0.6 * number / FRAMES)
        app.processEvents()
        frames.append(1e3 * (time.perf_counter() - start))
        busy.append(1e3 * (time.thread_time() - start_busy))
    weights = sum(one.layer.parameters for one in layers.model.rows)
    what = f"{weights / 1e6:.0f} million weights in {len(layers.model.rows)} layers"
    for which, number in (("median", 10), ("95 of 100 within", 19)):
        value, own = (statistics.quantiles(times, n=20)[number - 1] for times in (frames, busy))
        yield Row(f"{what}, {which}", value, "ms", LIMIT, f"{own:.3g} ms on the processor")
    start = time.perf_counter()
    wait(app, lambda: not document.state.stale)
    yield Row("from the last frame to the exact result", time.perf_counter() - start)
    window.close()


if __name__ == "__main__":
    main("Slider: frames of a drag, 1280x800, drawn by the processor", rows)
