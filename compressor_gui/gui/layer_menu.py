"""What can be done to a layer: the menu of its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu, QWidget

from compressor_gui.core.layers import Layer
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.gui.document import Document
from compressor_gui.gui.layer_row import Row


def layer_menu(
    document: Document, row: Row, edit: Callable[[], None], show: Callable[[], None], parent: QWidget
) -> QMenu:
    """The menu of a row; ``edit`` opens the editor of its sparsity, ``show`` brings its node into view."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    menu.setToolTipsVisible(True)
    layer = row.layer
    prune = menu.addAction("Set sparsity …\tEnter", edit)
    reset = menu.addAction("Reset this layer", lambda: document.reset_layer(layer))
    for action in (prune, reset):
        action.setEnabled(row.movable)
        action.setToolTip(row.locked)
    reset.setEnabled(row.movable and (row.wanted or 0.0) > layer.sparsity)
    made = document.state.made
    if made is not None and layer.name in made.bases.late:
        menu.addAction("Move prune before the 8-bit steps", lambda: _prune_first(document, layer))
    for index, step in enumerate(document.state.recipe.steps):
        if isinstance(step.transform, QuantizeNodes) and step.enabled:
            skip = menu.addAction(f"Leave it in float in step {index + 1}, {step.transform.name}")
            skip.setCheckable(True)
            skip.setChecked(any(name in step.transform.skip for name in layer.names))
            skip.toggled.connect(lambda on, index=index: _skip(document, index, layer, on))
    menu.addSeparator()
    menu.addAction("Show in the graph", show)
    menu.addAction("Copy name", lambda: QGuiApplication.clipboard().setText(layer.name))
    return menu


def _skip(document: Document, index: int, layer: Layer, on: bool) -> None:
    recipe = document.state.recipe
    step = recipe.steps[index]
    assert isinstance(step.transform, QuantizeNodes)
    others = tuple(name for name in step.transform.skip if name not in layer.names)
    changed = replace(step.transform, skip=(*others, layer.name) if on else others)
    document.set_recipe(recipe.replacing(index, replace(step, transform=changed)))


def _prune_first(document: Document, layer: Layer) -> None:
    found, place = document.prune_step(layer), document.prune_place(layer)
    if found is not None:
        document.set_recipe(document.state.recipe.moving(found[0], place), step=place)
