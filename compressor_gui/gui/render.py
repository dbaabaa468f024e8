"""A picture without a window: ``python -m compressor_gui.gui.render MODEL [--compare OTHER] -o PICTURE``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from compressor_gui.core import layout
from compressor_gui.core.diff import diff_graphs, diff_replay
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.verify import verify


def main(arguments: list[str] | None = None) -> int:
    """Draw a graph, or two side by side with their differences marked. Returns the exit code: 2 for a clear error."""
    options = _parser().parse_args(arguments)
    try:
        _render(options)
    except CompressorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        layout.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="compressor_gui.gui.render", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a frozen graph, .pb or .pbtxt")
    second = parser.add_mutually_exclusive_group()
    second.add_argument("--compare", metavar="OTHER", help="a second graph, drawn beside it")
    second.add_argument("--recipe", metavar="FILE", help="a recipe; what it makes is drawn beside the model")
    parser.add_argument("-o", "--output", metavar="PICTURE", required=True, help="a .svg, .png or .pdf file")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--overlay", action="store_true", help="both graphs in one picture instead of side by side")
    return parser


def _render(options: argparse.Namespace) -> None:
    layout.prestart()
    before = read_graph(options.model)
    verify(before)
    after = diff = None
    if options.compare:
        after = read_graph(options.compare)
        verify(after)
        diff = diff_graphs(before, after)
    elif options.recipe:
        replay = Replayer(before).replay(Recipe.load(options.recipe))
        after, diff = replay.graph, diff_replay(replay)

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from compressor_gui.gui.canvas import picture
    from compressor_gui.gui.canvas.export import export_scenes
    from compressor_gui.gui.canvas.painter import Look, Painter
    from compressor_gui.gui.canvas.scene import Scene
    from compressor_gui.gui.theme import Theme, load_fonts

    if QApplication.instance() is None:
        _render.application = QApplication([])  # type: ignore[attr-defined]  # Qt's objects need it to the end
    load_fonts()
    folding = picture.Folding()
    if after is None or diff is None:
        pictures = [picture.single(before, folding)]
        headings = [Path(options.model).name]
    elif options.overlay:
        pictures = [picture.overlay(before, after, diff, folding)]
        headings = [f"{Path(options.model).name}: original and compressed"]
    else:
        pictures = list(picture.pair(before, after, diff, folding))
        headings = ["ORIGINAL", Path(options.compare).name if options.compare else "COMPRESSED"]
    scenes = [Scene(found) for found in pictures]
    export_scenes(Path(options.output), scenes, [Look() for _ in scenes], headings, Painter(Theme(options.theme)))


if __name__ == "__main__":
    sys.exit(main())
