"""What the window reads from files and writes to them: the dialogs that ask which, and what is done with the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFileDialog

from compressor_gui.core import pbio
from compressor_gui.core.data import is_data
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.formats import needs_import
from compressor_gui.core.jobs import ExportCheck
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.formats import import_model
from compressor_gui.gui.leaving import end_training, may_open

if TYPE_CHECKING:
    from compressor_gui.gui.main_window import MainWindow

MODELS = "Models (*.pb *.pbtxt *.keras *.h5 *.meta);;All files (*)"
RECIPES = "Recipes (*.json);;All files (*)"
PICTURES = "SVG (*.svg);;PNG (*.png);;PDF (*.pdf)"


def open_path(window: MainWindow, path: Path) -> None:
    """Open a model, freezing it first where it needs that; a recipe and examples are for the model that is open."""
    if path.suffix == ".json" and window.document.state.source is not None:
        load_recipe(window, path)
    elif is_data(path):
        _take_data(window, path)
    elif may_open(window, lambda: _open_model(window, path)):
        _open_model(window, path)


def _open_model(window: MainWindow, path: Path) -> None:
    if needs_import(path):
        import_model(window, path, lambda: end_training(window))
    else:
        window.recipe_memory.keep()
        window.document.open(path)


def _take_data(window: MainWindow, path: Path) -> None:
    """Describe examples that were dropped on the window; they belong to a model."""
    if window.document.state.source is None:
        hint = "open a model first: examples are for the one that is open"
        window.show_error(CompressorError("this is no model", where=str(path), hint=hint))
    else:
        window.show_measure(lambda measure: measure.ask_data(str(path)))


def ask_open(window: MainWindow) -> None:
    """Choose a model to open."""
    path, _ = QFileDialog.getOpenFileName(window, "Open a model", window.settings.folder, MODELS)
    if path:
        open_path(window, Path(path))


def ask_open_folder(window: MainWindow) -> None:
    """Choose a SavedModel's folder to open."""
    path = QFileDialog.getExistingDirectory(window, "Open a SavedModel", window.settings.folder)
    if path:
        open_path(window, Path(path))


def ask_compare(window: MainWindow) -> None:
    """Choose a second file to compare with."""
    path, _ = QFileDialog.getOpenFileName(window, "Compare with", window.settings.folder, MODELS)
    if path:
        window.document.compare_with(path)


def ask_export(window: MainWindow) -> None:
    """Open the export dialog, once what the recipe makes is ready."""
    state = window.document.state
    if state.made is None or state.stale:
        window.message.show_text("The recipe is still being applied; try again in a moment.")
        return

    def exported(_target: Path, check: ExportCheck | None) -> None:
        if check is not None:
            window.status.set_check(check)

    dialog = ExportDialog(window.document, window.engine, window)
    dialog.over.connect(dialog.deleteLater)
    dialog.exported.connect(exported)
    dialog.open()


def ask_load_recipe(window: MainWindow) -> None:
    """Choose a recipe to apply."""
    path, _ = QFileDialog.getOpenFileName(window, "Load a recipe", window.settings.folder, RECIPES)
    if path:
        load_recipe(window, Path(path))


def load_recipe(window: MainWindow, path: Path) -> None:
    """Apply a recipe's file; it can be undone."""
    source = window.document.state.source
    assert source is not None
    try:
        recipe = Recipe.load(path)
    except CompressorError as error:
        window.show_error(error)
        return
    if recipe.sha256 and recipe.sha256 != source.sha256:
        window.message.show_text("This recipe was made for another file; steps that find nothing to do say so.")
    window.document.set_recipe(Recipe(recipe.steps, source.sha256), step=None)


def ask_save_recipe(window: MainWindow) -> None:
    """Choose where to write the recipe."""
    source = window.document.state.source
    start = str(source.path.with_suffix(".recipe.json")) if source else window.settings.folder
    path, _ = QFileDialog.getSaveFileName(window, "Save the recipe", start, RECIPES)
    if path:
        try:
            _refuse_source(window, path)
            window.document.state.recipe.save(path)
        except CompressorError as error:
            window.show_error(error)


def ask_picture(window: MainWindow) -> None:
    """Choose where to write a picture of the graph."""
    path, _ = QFileDialog.getSaveFileName(window, "Save the picture", window.settings.folder, PICTURES)
    if path:
        try:
            _refuse_source(window, path)
            window.graph.export_picture(Path(path))
            window.message.show_text(f"Saved {path}")
        except CompressorError as error:
            window.show_error(error)


def _refuse_source(window: MainWindow, target: str) -> None:
    source = window.document.state.source
    pbio.refuse_source(Path(target), source.path if source else None)
