"""Takes the pictures of README and help pages: ``.venv/bin/python packaging/screenshots.py [MODEL]``.

The real window is drawn off screen, on a sample or on MODEL, in both themes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication, QWidget

from compressor_gui.core import layout
from compressor_gui.core.passes import BY_NAME
from compressor_gui.gui.main_window import MainWindow, apply_theme
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.theme import Choice, Theme, load_fonts

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "resources" / "help" / "images"


def wait(until: Callable[[], bool] = lambda: False, milliseconds: int = 20_000) -> None:
    """Let the window work until something holds, or the time is over."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    poll = QTimer()
    poll.timeout.connect(lambda: loop.quit() if until() else None)
    poll.start(20)
    loop.exec()
    poll.stop()


def save(widget: QWidget, name: str) -> None:
    """Write a picture."""
    path = IMAGES / f"{name}.png"
    widget.grab().save(str(path))
    print(path.relative_to(ROOT))


def take(window: MainWindow, model: Path, theme: Choice) -> None:
    """All pictures in one theme."""
    document = window.document
    wait(milliseconds=300)
    save(window, f"welcome-{theme}")
    window.open(model)
    wait(lambda: bool(document.state.magnitudes) and not document.state.stale and window.graph.settled())
    layers = document.state.source.layers if document.state.source else ()
    for layer, sparsity in zip(layers, (0.2, 0.6, 0.9, 0.7) * len(layers), strict=False):
        document.prune_layer(layer, sparsity)
    document.end_merge()
    document.select(max(layers, key=lambda layer: layer.parameters).name)
    wait(lambda: not document.state.stale and window.graph.settled())
    wait(milliseconds=500)  # the inspector counts in the background
    save(window, f"main-{theme}")
    save(window.inspector, f"inspector-{theme}")
    window.recipe.add(BY_NAME["quantize_nodes"](), ask=False)
    document.show("compare")
    wait(lambda: not document.state.stale and window.graph.settled())
    wait(milliseconds=500)
    save(window, f"compare-{theme}")


def main() -> None:
    """Take the pictures."""
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "resources" / "samples" / "lenet-5.pb"
    IMAGES.mkdir(exist_ok=True)
    app = QApplication([])
    app.setStyle("Fusion")
    load_fonts()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("light", "dark"):
            choice: Choice = "light" if name == "light" else "dark"
            theme = Theme(choice)
            apply_theme(app, theme)
            window = MainWindow(Settings(Path(folder) / f"{name}.ini"), theme)
            window.resize(1280, 800)
            window.show()
            take(window, model, choice)
            window.close()
    layout.close()


if __name__ == "__main__":
    main()
