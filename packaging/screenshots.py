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
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # fused int8 runs on any processor that takes pictures

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from compressor_gui.core import layout
from compressor_gui.core.datafiles import read_idx
from compressor_gui.core.passes import BY_NAME
from compressor_gui.core.passes.factorize import Factorize
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.assistant.opening import open_assistant
from compressor_gui.gui.distill.opening import open_distill
from compressor_gui.gui.factorize.dialog import FactorizeDialog
from compressor_gui.gui.main_window import MainWindow, apply_theme
from compressor_gui.gui.measure.calibrate_dialog import CalibrateDialog
from compressor_gui.gui.measure.predictions_dialog import PredictionsDialog
from compressor_gui.gui.measure.suggest_dialog import SuggestDialog
from compressor_gui.gui.ranges.dialog import RangesDialog
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.theme import Choice, Theme, load_fonts
from compressor_gui.gui.transfer.opening import open_transfer

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
    wait(milliseconds=100)  # what was changed just now is laid out and painted
    path = IMAGES / f"{name}.png"
    widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888).save(str(path), "PNG", 0)
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


def measure(window: MainWindow) -> None:
    """The pictures of what is measured: the engine does it on the sample's own digits."""
    document, measurer = window.document, window.measurer

    def finish() -> None:
        wait(lambda: not measurer.running, 300_000)
        wait(milliseconds=300)

    document.show("original")
    window.show_measure()
    chooser = window.measure.ask_data()
    wait(lambda: bool(chooser.examples.captions))
    save(chooser, "data-light")
    chooser.accept()
    window.measure.evaluate()
    finish()
    window.measure.measure_latency()
    finish()
    window.graph.set_color_by("time")
    save(window, "latency-light")
    window.graph.set_color_by("family")
    window.measure.reveal("Accuracy")
    save(window, "measure-light")
    window.measure.evaluate()
    window.measure.measure_sensitivity()
    wait(lambda: (sweep := document.state.measured.sweep) is not None and len(sweep.value.curves) > 2, 120_000)
    save(window, "sensitivity-light")
    finish()
    window.measure.suggest()
    save_dialog(window, SuggestDialog, "suggest-light")
    window.measure.calibrate()
    wizard = window.findChild(CalibrateDialog)
    wizard.run()
    finish()
    wizard.method.setCurrentIndex(wizard.method.findData("mse"))
    wait(wizard.apply_button.isEnabled)
    save_dialog(window, CalibrateDialog, "calibrate-light")
    window.measure.show_predictions()
    finish()
    save_dialog(window, PredictionsDialog, "predictions-light")


def noise(window: MainWindow) -> None:
    """The noise of each layer: coloured on both graphs, and listed."""
    window.document.show("compare")
    wait(window.graph.settled)
    window.show_measure(lambda panel: panel.measure_noise())
    wait(lambda: not window.measurer.running, 300_000)
    window.graph.set_color_by("own_noise")
    wait(milliseconds=300)
    save(window, "noise-light")
    window.graph.set_color_by("family")


def quantize(window: MainWindow) -> None:
    """The assistant's first and last step, and the ranges as plots."""
    shown = open_assistant(window)
    wait(lambda: shown.draft.subject is not None)
    save(shown, "assistant-light")
    shown.show_step(3)
    wait(lambda: shown.result_page.run is not None and shown.result_page.run.usable, 300_000)
    save(shown, "assistant-result-light")
    run = shown.result_page.run
    if run is not None and run.calibration is not None:
        plots = RangesDialog(run.ranges, run.calibration.histograms, window.theme, shown)
        plots.show()
        plots.editor.nodes.choose(list(run.ranges)[-1])
        plots.editor.fields[1].setValue(plots.editor.fields[1].value() * 0.6)
        save(plots, "ranges-light")
        plots.close()
    shown.reject()


def factorize(window: MainWindow) -> None:
    """The ranks of all layers at a target."""
    window.document.set_recipe(Recipe())
    wait(lambda: not window.document.state.stale and window.graph.settled())
    window.recipe.add(Factorize())
    shown = window.findChild(FactorizeDialog)
    wait(lambda: shown.draft.entries is not None and not shown.draft.unknown)
    shown.amount.setValue(80)
    shown.all_button.click()
    save_dialog(window, FactorizeDialog, "factorize-light")


def retrain(window: MainWindow) -> None:
    """A run under way, and its end."""
    document = window.document
    document.set_recipe(Recipe())
    document.show("original")
    wait(lambda: not document.state.stale and window.graph.settled())
    panel = window.show_retrain()
    wait(milliseconds=300)
    save(panel, "retrain-goal-light")
    panel.form.amount.setValue(30)
    panel.form.schedule.setCurrentIndex(panel.form.schedule.findData("iterative"))
    panel.form.epochs.setValue(5)
    panel.start()
    run = panel.retrainer
    wait(lambda: len(run.course.epochs) == 8 or not run.is_running, 900_000)
    save(window, "retrain-light")
    wait(lambda: not run.is_running, 900_000)
    wait(milliseconds=500)  # the last weights are read in the background
    panel.area.ensureWidgetVisible(panel.points.use_button)
    save(panel, "retrain-end-light")


def distill(window: MainWindow) -> None:
    """Two students, one of them still under way."""
    dialog = open_distill(window)
    run = dialog.distiller
    wait(lambda: all(run.offers.values()))
    dialog.form.epochs.setValue(6)
    dialog.table.choose("width_0.25")
    dialog.start()
    wait(lambda: not run.is_running, 900_000)
    dialog.table.choose("shallow")
    dialog.start()
    wait(lambda: len(run.course.epochs) == 4 or not run.is_running, 900_000)
    save(dialog, "distill-light")
    run.discard()
    wait(lambda: not run.is_running)
    dialog.reject()


def transfer(window: MainWindow, folder: Path) -> None:
    """Digits by their shape as new classes, learnt."""
    shapes = {"curved": (2, 3, 5), "round": (0, 6, 8, 9), "straight": (1, 4, 7)}
    images = read_idx(ROOT / "resources/samples/t10k-1000-images-idx3-ubyte.gz")[:400]
    labels = read_idx(ROOT / "resources/samples/t10k-1000-labels-idx1-ubyte.gz")[:400]
    for at, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / next(name for name, digits in shapes.items() if label in digits)
        place.mkdir(parents=True, exist_ok=True)
        QImage(image.tobytes(), 28, 28, 28, QImage.Format.Format_Grayscale8).save(str(place / f"{at}.png"))
    dialog = open_transfer(window)
    dialog.choose(str(folder))
    wait(lambda: dialog.run.is_counted)
    dialog.form.set_target(folder.parent / "digits-shapes.pb")
    dialog.form.steps.setValue(1500)
    dialog.start()
    wait(lambda: not dialog.run.is_running, 900_000)
    save(dialog, "transfer-light")
    dialog.reject()


def save_dialog(window: MainWindow, kind: type[QDialog], name: str) -> None:
    """Write a picture of an open dialog, and close it."""
    dialog = window.findChild(kind)
    wait(milliseconds=200)
    save(dialog, name)
    dialog.reject()


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
            if name == "light" and window.document.state.data is not None:
                os.environ["XDG_CACHE_HOME"] = str(Path(folder) / name)  # a sweep that is new shows its progress
                measure(window)
                noise(window)
                quantize(window)
                factorize(window)
                retrain(window)
                distill(window)
                transfer(window, Path(folder) / "shapes")
            window.close()
    layout.close()


if __name__ == "__main__":
    main()
