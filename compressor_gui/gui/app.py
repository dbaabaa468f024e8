"""Start-up: arguments, look, the window, and what happens to an exception that nobody caught."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path
from types import TracebackType

from compressor_gui import __version__
from compressor_gui.core import layout

_STARTED = time.time()


def main(argv: list[str] | None = None) -> int:
    """Open the window; returns the exit code."""
    arguments = _parser().parse_args(argv)
    layout.prestart()  # its process starts while Qt is being imported

    from PySide6.QtGui import QIcon
    from PySide6.QtWidgets import QApplication

    from compressor_gui.gui.main_window import MainWindow, apply_theme
    from compressor_gui.gui.settings import Settings
    from compressor_gui.gui.theme import Theme, load_fonts

    sys.setswitchinterval(0.002)  # the GUI thread gets its turn sooner while passes run in the background thread
    app = QApplication(sys.argv[:1])
    app.setApplicationName("Compressor")
    app.setApplicationVersion(__version__)
    app.setStyle("Fusion")
    load_fonts()
    app.setWindowIcon(QIcon(str(resource("icons", "compressor.svg"))))
    settings = Settings()
    theme = Theme(arguments.theme or settings.theme)
    apply_theme(app, theme)
    window = MainWindow(settings, theme)
    _install_crash_dialog(window)
    if os.environ.get("COMPRESSOR_TIME_FIRST_PAINT"):
        _quit_after_first_paint(window)
    window.show()
    if arguments.model:
        window.open(arguments.model)
    try:
        return app.exec()
    finally:
        layout.close()


def resource(*parts: str) -> Path:
    """A file under ``resources``."""
    from importlib.resources import files

    return Path(str(files("resources").joinpath(*parts)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compressor-gui",
        description="Open a TensorFlow model, see it, prune and quantize it, compare, and export it.",
        epilog="example: compressor-gui resources/samples/lenet-5.pb",
    )
    parser.add_argument("model", nargs="?", type=Path, help="a frozen graph, .pb or .pbtxt")
    parser.add_argument("--theme", choices=("system", "light", "dark"), help="colours, this time only")
    parser.add_argument("--version", action="version", version=f"Compressor {__version__}")
    return parser


def _install_crash_dialog(window: object) -> None:
    from PySide6.QtWidgets import QWidget

    from compressor_gui.gui.crash_dialog import CrashDialog, details

    assert isinstance(window, QWidget)
    shown: list[CrashDialog] = []

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            window.close()
            return
        text = details(kind, error, trace)
        logging.getLogger("compressor").error("%s", text)
        if not shown:  # one dialog at a time, however often the fault repeats
            dialog = CrashDialog(text, window)
            shown.append(dialog)
            dialog.finished.connect(lambda _code: shown.clear())
            dialog.open()

    sys.excepthook = hook


def _quit_after_first_paint(window: object) -> None:
    """For the benchmark: print how long it took from the process's start to the first painted graph, and quit."""
    from PySide6.QtCore import Qt, QTimer

    from compressor_gui.gui.main_window import MainWindow

    assert isinstance(window, MainWindow)

    def painted() -> None:
        print(json.dumps({"first_paint_s": _process_age()}), flush=True)
        QTimer.singleShot(0, window.close)

    window.graph.painted.connect(painted, Qt.ConnectionType.SingleShotConnection)


def _process_age() -> float:
    """Seconds since this process started (where the system does not say: since this module was imported)."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.time() - _STARTED


if __name__ == "__main__":
    sys.exit(main())
