"""The real window for the tests, and the rule that none leaves anything behind."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from compressor_gui.core import layout, pbio, weight_store
from compressor_gui.core.data import DataSpec
from compressor_gui.core.datafiles import read_idx
from compressor_gui.core.fold import Folded, fold
from compressor_gui.gui.document import Document
from compressor_gui.gui.inspector import Inspector
from compressor_gui.gui.main_window import MainWindow, apply_theme
from compressor_gui.gui.measure.panel import MeasurePanel
from compressor_gui.gui.retrain.panel import RetrainPanel
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.theme import Theme, load_fonts
from tests.gui.fake_engine import FakeEngine
from tests.gui.panels import open_graph
from tests.gui.test_window import CTRL, SHIFT, press
from tests.support import conv_net

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"


@pytest.fixture(scope="session")
def qapp_cls() -> type[QApplication]:
    return QApplication


@pytest.fixture(scope="session")
def theme(qapp: QApplication) -> Theme:
    """The light theme, in use."""
    qapp.setStyle("Fusion")
    load_fonts()
    made = Theme("light")
    apply_theme(qapp, made)
    return made


@pytest.fixture(scope="session", autouse=True)
def layout_worker() -> Iterator[None]:
    """The one process that all windows share ends with the last test."""
    yield
    layout.close()


@functools.cache
def smallest() -> Folded:
    """A graph to lay out."""
    return fold(conv_net())


@pytest.fixture(autouse=True)
def nothing_left(qapp: QApplication, layout_worker: None) -> Iterator[None]:
    """Fail a test that leaves a thread or a window behind."""
    layout.layout(smallest())  # waits for its process, which other tests end, so that no test sees its threads begin
    threads = set(threading.enumerate())
    windows = set(map(id, QApplication.topLevelWidgets()))
    yield
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    left = [t.name for t in threading.enumerate() if t not in threads and t.is_alive()]
    assert not left, f"threads left: {left}"
    shown = [w for w in QApplication.topLevelWidgets() if id(w) not in windows and w.isVisible()]
    assert not shown, f"windows left: {shown}"


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A small network in a file: Conv2D, BiasAdd, Relu, MaxPool, MatMul, BiasAdd, Softmax."""
    path = tmp_path / "net.pb"
    pbio.write_graph(conv_net(), path)
    return path


@pytest.fixture
def window(qtbot: QtBot, theme: Theme, tmp_path: Path) -> Iterator[MainWindow]:
    """The main window, shown, with settings of its own."""
    made = MainWindow(Settings(tmp_path / "settings.ini"), theme)
    made.resize(1280, 800)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.leave()
    made.deleteLater()


@pytest.fixture
def opened(qtbot: QtBot, window: MainWindow, model_file: Path) -> MainWindow:
    """The main window with the small network open and everything about it counted."""
    window.open(model_file)
    state = window.document
    qtbot.waitUntil(lambda: not state.state.stale and bool(state.state.magnitudes) and window.graph.settled())
    return window


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Ten examples and labels in IDX files."""
    folder = tmp_path / "digits"
    folder.mkdir()
    images = np.arange(10 * 8 * 8, dtype=np.uint8).reshape(10, 8, 8)
    header = bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4, "big") for size in images.shape)
    (folder / "t-images-idx3-ubyte").write_bytes(header + images.tobytes())
    (folder / "t-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 10)) + bytes(range(10)))
    return folder


@pytest.fixture
def engine(opened: MainWindow) -> FakeEngine:
    return FakeEngine(opened.engine)


@pytest.fixture
def panel(opened: MainWindow, engine: FakeEngine, digits: Path) -> MeasurePanel:
    """The measure panel in front, with data chosen."""
    opened.document.set(data=DataSpec("idx", str(digits), input="input"))
    opened.show_measure()
    return opened.measure


@pytest.fixture
def document(qapp: QApplication) -> Iterator[Document]:
    made = Document()
    yield made
    made.close()


@pytest.fixture
def inspector(qtbot: QtBot, theme: Theme, document: Document) -> Inspector:
    """An empty inspector."""
    made = Inspector(document, theme)
    qtbot.addWidget(made)
    made.resize(332, 1600)
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.fixture
def dense(qtbot: QtBot, inspector: Inspector, document: Document, tmp_path: Path) -> Inspector:
    """The inspector on the small network's MatMul, its histogram counted."""
    open_graph(qtbot, document, conv_net(), tmp_path)
    document.select("dense")
    qtbot.waitUntil(lambda: inspector.histogram._bars is not None)
    return inspector


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and checkpoints of a test stay in its folder."""
    monkeypatch.setenv(weight_store.FOLDER, str(tmp_path / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def retrain(qtbot: QtBot, opened: MainWindow, engine: FakeEngine, digits: Path) -> RetrainPanel:
    """The panel in front, with data chosen."""
    opened.document.set(data=DataSpec("idx", str(digits), input="input"))
    press(qtbot, opened, Qt.Key.Key_P, CTRL, SHIFT)
    qtbot.waitUntil(lambda: opened.retrain.isVisible())
    return opened.retrain


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """90 digits as PNG: ``large`` (5 to 9) and ``small`` (0 to 4); ``none`` is an empty folder."""
    folder = tmp_path / "digits by size"
    images = read_idx(SAMPLES / "t10k-1000-images-idx3-ubyte.gz")[:90]
    labels = read_idx(SAMPLES / "t10k-1000-labels-idx1-ubyte.gz")[:90]
    for name in ("large", "small", "none"):
        (folder / name).mkdir(parents=True)
    for at, (image, label) in enumerate(zip(images, labels, strict=True)):
        picture = QImage(np.ascontiguousarray(image).tobytes(), 28, 28, 28, QImage.Format.Format_Grayscale8)
        assert picture.save(str(folder / ("small" if label < 5 else "large") / f"{at}.png"))
    return folder
