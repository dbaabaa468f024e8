"""The main job without a display: ``python -m compressor_gui.gui.tour MODEL -o FOLDER``.

The real window, drawn off screen, is taken through it: open, prune, quantize the weights, export; then quantize the
operations instead, compare, export. Its pictures, the exported files and a report stay in the folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from compressor_gui.core import layout, units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import ExportCheck
from compressor_gui.core.passes import BY_NAME
from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.files import ask_export
from compressor_gui.gui.main_window import MainWindow, apply_theme
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.theme import Theme, load_fonts

PATIENCE = 300.0
"""Seconds that one step may take."""
SPARSITY = 0.5


@dataclass(frozen=True)
class Exported:
    """What one export measured."""

    title: str
    path: Path
    before: int
    after: int
    nodes: int
    sparsity: float
    check: ExportCheck | None


class Tour:
    """Takes a window through the main job."""

    def __init__(self, window: MainWindow, model: Path, folder: Path) -> None:
        self.window, self.model, self.folder = window, model, folder
        self.pictures: list[tuple[str, str]] = []
        self.exports: list[Exported] = []

    def run(self) -> None:
        """Do the job and write the report. Raises CompressorError where a step fails."""
        window, document = self.window, self.window.document
        self._picture("welcome", "The page before a model is open")
        window.open(self.model)
        self._until(lambda: document.state.source is not None and not document.state.stale, "opening")
        source = document.state.source
        assert source is not None
        self._until(lambda: len(document.state.magnitudes) > 0 or not source.layers, "counting the weights")
        if source.layers:
            document.select(max(source.layers, key=lambda layer: layer.parameters).name)
        self._picture("original", "The graph as it was opened")
        document.prune_all(SPARSITY)
        document.end_merge()
        window.recipe.add(BY_NAME["quantize_weights"](), ask=False)
        self._until(lambda: not document.state.stale, "pruning and quantizing the weights")
        document.show("compressed")
        self._picture("pruned", f"Pruned to {SPARSITY:.0%}, weights stored in 8 bits")
        self._export("prune, 8-bit weights", f"{self.model.stem}-weights.pb")
        document.undo()
        window.recipe.add(BY_NAME["quantize_nodes"](), ask=False)
        self._until(lambda: not document.state.stale, "quantizing the operations")
        document.show("compare")
        window.graph.next_difference(1)
        self._picture("compare", "Original and eightbit graph side by side")
        self._export("prune, 8-bit operations", f"{self.model.stem}-eightbit.pb")
        self._report()

    def _until(self, done: Callable[[], bool], what: str) -> None:
        failures: list[CompressorError] = []
        self.window.document.failed.connect(failures.append)
        loop = QEventLoop()
        poll = QTimer()
        start = time.monotonic()

        def look() -> None:
            if done() or failures or time.monotonic() - start > PATIENCE:
                loop.quit()

        poll.timeout.connect(look)
        poll.start(20)
        loop.exec()
        poll.stop()
        self.window.document.failed.disconnect(failures.append)
        if failures:
            raise failures[0]
        if not done():
            raise CompressorError(f"{what} took longer than {PATIENCE:.0f} s", where=str(self.model))

    def _picture(self, name: str, caption: str) -> None:
        self._until(self.window.graph.settled, "drawing the graph")
        self._until(lambda: not self.pictures or self.window.inspector.isVisible(), "filling the inspector")
        path = self.folder / f"{len(self.pictures) + 1}-{name}.png"
        self.window.grab().save(str(path))
        self.pictures.append((path.name, caption))
        print(f"  {path.name}: {caption}", flush=True)

    def _export(self, title: str, name: str) -> None:
        window, state = self.window, self.window.document.state
        assert state.source is not None
        assert state.made is not None
        ask_export(window)
        dialog = window.findChild(ExportDialog)
        assert dialog is not None
        dialog.target.setText(str(self.folder / name))
        dialog.allow.setChecked(False)
        dialog.start()
        if dialog.asks_to_replace:  # what an earlier tour left in the folder
            dialog.replace_button.click()
        self._until(lambda: dialog.finished_work, "exporting")
        if dialog.check is not None and dialog.check.passed and not dialog.kept:
            dialog.keep()
        words, path = dialog.verdict.text(), Path(dialog.target.text())
        self._until(lambda: True, "showing the check")  # new labels appear with the next events
        dialog.grab().save(str(self.folder / f"{path.stem}-check.png"))
        check = dialog.check
        if not path.exists():
            dialog.reject()
            raise CompressorError(words, where=str(path))
        weights = sum(layer.parameters for layer in state.made.layers)
        kept = sum(layer.nonzero for layer in state.made.layers)
        self.exports.append(
            Exported(title, path, state.source.size, path.stat().st_size, len(state.made.graph),
                     1 - kept / weights if weights else 0.0, check)
        )  # fmt: skip
        print(f"  {path.name}: {words}", flush=True)
        dialog.accept()

    def _report(self) -> None:
        lines = [f"# {self.model.name}", ""]
        lines += [
            "| export | bytes before | bytes after | ratio | nodes | zeros | worst output | on |",
            "|---|--:|--:|--:|--:|--:|--:|---|",
        ]
        for e in self.exports:
            worst = min((o.sqnr_db for o in e.check.outputs), default=None) if e.check else None
            words = "not measured" if worst is None else "equal" if worst > 900 else f"{worst:.1f} dB"
            lines.append(
                f"| {e.title} | {e.before:,} | {e.after:,} | {e.after / e.before:.2f} | {e.nodes:,} "
                f"| {units.percent(e.sparsity)} | {words} | {e.check.fed if e.check else '–'} |"
            )
        lines += [
            "",
            "The signal-to-noise ratio compares the outputs of original and export, both run by stock TensorFlow on",
            "the same inputs. Nothing was retrained, so a network may have lost some of its accuracy.",
            "",
        ]
        for name, caption in self.pictures:
            lines += [f"![{caption}]({name})", "", caption, ""]
        (self.folder / "report.md").write_text("\n".join(lines), "utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run the tour; 0 when every step went well, 2 with a sentence otherwise."""
    parser = argparse.ArgumentParser(prog="python -m compressor_gui.gui.tour", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for pictures, exports and report")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    app = QApplication(sys.argv[:1])
    app.setStyle("Fusion")
    load_fonts()
    theme = Theme(arguments.theme)
    apply_theme(app, theme)
    arguments.output.mkdir(parents=True, exist_ok=True)
    window = MainWindow(Settings(arguments.output / ".settings.ini"), theme)
    window.resize(1440, 900)  # the screen that there is not would be smaller
    window.show()
    try:
        Tour(window, arguments.model.resolve(), arguments.output.resolve()).run()
    except CompressorError as error:
        print(f"compressor: {error}", file=sys.stderr)
        return 2
    finally:
        window.close()
        layout.close()
        (arguments.output / ".settings.ini").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
