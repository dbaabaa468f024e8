"""An SVG file as a PNG: ``python -m compressor_gui.gui.rasterize IN.svg OUT.png``, for who may not import Qt."""

from __future__ import annotations

import argparse
import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Draw the file at twice its size. Returns the exit code: 2 for a clear error."""
    parser = argparse.ArgumentParser(prog="compressor_gui.gui.rasterize", description=__doc__)
    parser.add_argument("source", metavar="IN.svg")
    parser.add_argument("target", metavar="OUT.png")
    parser.add_argument("--scale", type=float, default=2.0, help="pixels of the picture for one of the SVG (2)")
    options = parser.parse_args(arguments)

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer
    from PySide6.QtWidgets import QApplication

    from compressor_gui.gui.theme import load_fonts

    if QApplication.instance() is None:
        main.application = QApplication([])  # type: ignore[attr-defined]  # Qt's objects need it to the end
    load_fonts()
    renderer = QSvgRenderer(options.source)
    if not renderer.isValid():
        print(f"error: {options.source}: it is no SVG file", file=sys.stderr)
        return 2
    image = QImage(renderer.defaultSize() * options.scale, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    renderer.render(painter)
    painter.end()
    if not image.save(options.target):
        print(f"error: {options.target}: it can't be written", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
