"""The recipe: its steps in order, each with what it changed and what that costs in bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from PySide6.QtCore import QMimeData, QPoint, Qt
from PySide6.QtGui import (
    QContextMenuEvent,
    QDrag,
    QDragEnterEvent,
    QDropEvent,
    QKeyEvent,
    QMouseEvent,
)
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QMenu, QScrollArea, QToolButton, QWidget

from compressor_gui.core import units
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.factorize import Factorize
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.ranges_file import Limits
from compressor_gui.core.recipe import Stage, Step
from compressor_gui.gui.document import Document
from compressor_gui.gui.factorize.opening import FactorizeOpening
from compressor_gui.gui.pass_form import PassForm
from compressor_gui.gui.state import State
from compressor_gui.gui.step_menu import StepMenu
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import clear, label, restyle

STORES_RANGES = FreezeRequantizationRanges | FuseInt8
"""The passes whose ranges can be looked at as plots."""
STEP_MIME = "application/x-compressor-step"


def stage_words(stage: Stage, before_bytes: int, after_bytes: int) -> str:
    """What a step did, in a few words: ``+102 nodes, −2.1 MB``."""
    if not stage.result.changed:
        return "nothing to do"
    words = []
    nodes = len(stage.after) - len(stage.before)
    if nodes:
        words.append(f"{nodes:+d} nodes".replace("-", "−"))
    else:
        words.append(f"{len(stage.result.origins)} changed")
    change = after_bytes - before_bytes
    if abs(change) >= 1000:
        words.append(("+" if change > 0 else "−") + units.size(abs(change)))
    return ", ".join(words)


class Chip(QFrame):
    """One step of the recipe."""

    def __init__(self, panel: RecipePanel, index: int, step: Step) -> None:
        super().__init__()
        self.setObjectName("chip")
        self.panel, self.index = panel, index
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setProperty("off", not step.enabled)
        self.setProperty("chosen", panel.document.state.step == index)
        self.step = step
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 12, 4)
        row.setSpacing(8)
        row.addWidget(label(str(index + 1), "secondary"))
        row.addWidget(label(step.transform.name, "strong"))
        self.words = label("…" if step.enabled else "off", "secondary")
        row.addWidget(self.words)
        self.mark = label("i", "note")
        self.mark.hide()
        row.addWidget(self.mark)
        self._pressed: QPoint | None = None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select; a drag from here moves the step."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = event.position().toPoint()
            self.panel.choose(self.index)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Start moving the step."""
        if self._pressed is None:
            return
        if (event.position().toPoint() - self._pressed).manhattanLength() < QApplication.startDragDistance():
            return
        self._pressed = None
        drag = QDrag(self)
        data = QMimeData()
        data.setData(STEP_MIME, str(self.index).encode())
        drag.setMimeData(data)
        drag.setPixmap(self.grab())
        drag.exec(Qt.DropAction.MoveAction)

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:
        """End a press that was no drag."""
        self._pressed = None

    def mouseDoubleClickEvent(self, _event: QMouseEvent) -> None:
        """Edit."""
        self.panel.edit(self.index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter edits, with Ctrl the ranges, Space switches on and off, Delete removes, Alt+arrows move."""
        alt = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            ranges = event.modifiers() & Qt.KeyboardModifier.ControlModifier
            stores = isinstance(self.step.transform, STORES_RANGES)
            (self.panel.edit_ranges if ranges and stores else self.panel.edit)(self.index)
        elif event.key() == Qt.Key.Key_Space:
            self.panel.toggle(self.index)
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.panel.remove(self.index)
        elif event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right) and alt:
            self.panel.move_step(self.index, self.index + (1 if event.key() == Qt.Key.Key_Right else -1))
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The step's menu."""
        self.panel.choose(self.index)
        menu = self.panel.step_menu(self.index)
        menu.popup(event.globalPos())


class RecipePanel(QWidget):
    """The row of steps, and the button that adds one."""

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("recipePanel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.document, self.theme = document, theme
        self.factorizing = FactorizeOpening(document, theme, self)
        self.chips: list[Chip] = []
        self.setAcceptDrops(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 4, 8, 4)
        row.setSpacing(8)
        row.addWidget(label("Recipe", "heading"))
        self._strip = QWidget()
        self._chips = QHBoxLayout(self._strip)
        self._chips.setContentsMargins(4, 0, 0, 0)
        self._chips.setSpacing(8)
        scroll = QScrollArea()
        scroll.setWidget(self._strip)
        scroll.setWidgetResizable(True)
        scroll.setFixedHeight(44)
        scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll = scroll
        row.addWidget(scroll, 1)
        self.add_button = QToolButton()
        self.add_button.setText("+ Add step")
        self.add_button.setProperty("role", "flat")
        self.add_button.setToolTip("Add a pass to the recipe (Ctrl+K)")
        self.add_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.add_menu = StepMenu(lambda transform: self.add(transform.started()), self.add_button)
        self.add_button.setMenu(self.add_menu)
        row.addWidget(self.add_button)
        document.changed.connect(self._changed)
        theme.changed.connect(self._rebuild)
        self._rebuild()

    # -- what the user does --------------------------------------------------------------------------------------

    def add(self, transform: Pass, ask: bool = True) -> None:
        """Add a pass, the first prune step before all others, the rest at the end; by its form where it has any."""
        if ask and isinstance(transform, Factorize):
            self.factorizing.ask()
        elif ask and transform.params():
            self._form(transform, "Add", self._added)
        else:
            self._added(transform)

    def _added(self, transform: Pass) -> None:
        recipe = self.document.state.recipe
        if isinstance(transform, Prune):
            self.document.add_prune(transform)
        else:
            self.document.set_recipe(recipe.adding(transform), step=len(recipe.steps))

    def edit(self, index: int) -> None:
        """Open a step's form, or the curves that its ranks are chosen from."""
        step = self.document.state.recipe.steps[index]
        if isinstance(step.transform, Factorize):
            self.factorizing.ask(index)
            return

        def chosen(transform: Pass) -> None:
            recipe = self.document.state.recipe
            self.document.set_recipe(recipe.replacing(index, replace(step, transform=transform)))

        self._form(step.transform, "Apply", chosen)

    def edit_ranges(self, index: int) -> None:
        """Open the ranges that a step stores as plots."""
        from compressor_gui.gui.ranges.dialog import RangesDialog  # its plots take long to import

        state = self.document.state
        step = state.recipe.steps[index]
        assert isinstance(step.transform, STORES_RANGES)
        dialog = RangesDialog(dict(step.transform.ranges), state.measured.histograms, self.theme, self.window())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self._ranges_edited(index, step, dialog.editor.ranges))
        dialog.open()

    def _ranges_edited(self, index: int, step: Step, ranges: Mapping[str, Limits]) -> None:
        assert isinstance(step.transform, STORES_RANGES)
        changed = replace(step.transform, ranges=tuple(ranges.items()))
        measured = self.document.state.measured
        note = measured.range_notes.get(step.transform.ranges, "from a file").removesuffix(", edited")
        notes = {**measured.range_notes, changed.ranges: f"{note}, edited"}
        self.document.set(measured=replace(measured, range_notes=notes))
        self.document.set_recipe(self.document.state.recipe.replacing(index, replace(step, transform=changed)))

    def _form(self, transform: Pass, verb: str, chosen: Callable[[Pass], None]) -> None:
        form = PassForm(transform, verb, self.window())
        form.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        form.accepted.connect(lambda: chosen(form.transform))
        form.open()

    def choose(self, index: int) -> None:
        """Select a step: its differences are the ones that are listed."""
        self.document.set(step=index)

    def toggle(self, index: int) -> None:
        """Switch a step off or on."""
        recipe = self.document.state.recipe
        step = recipe.steps[index]
        self.document.set_recipe(recipe.replacing(index, replace(step, enabled=not step.enabled)))

    def remove(self, index: int) -> None:
        """Take a step out."""
        self.document.set_recipe(self.document.state.recipe.removing(index), step=None)

    def move_step(self, index: int, to: int) -> None:
        """Move a step to another place."""
        recipe = self.document.state.recipe
        to = min(max(to, 0), len(recipe.steps) - 1)
        if to != index:
            self.document.set_recipe(recipe.moving(index, to), step=to)

    def step_menu(self, index: int) -> QMenu:
        """What can be done to a step."""
        steps = self.document.state.recipe.steps
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Edit …\tEnter", lambda: self.edit(index))
        if isinstance(steps[index].transform, STORES_RANGES):
            menu.addAction("Edit ranges …\tCtrl+Enter", lambda: self.edit_ranges(index))
        menu.addAction(
            "Switch on\tSpace" if not steps[index].enabled else "Switch off\tSpace", lambda: self.toggle(index)
        )
        menu.addSeparator()
        earlier = menu.addAction("Move earlier\tAlt+Left", lambda: self.move_step(index, index - 1))
        earlier.setEnabled(index > 0)
        later = menu.addAction("Move later\tAlt+Right", lambda: self.move_step(index, index + 1))
        later.setEnabled(index + 1 < len(steps))
        menu.addSeparator()
        menu.addAction("Remove\tDelete", lambda: self.remove(index))
        return menu

    # -- showing -------------------------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if old.recipe is not new.recipe or old.source is not new.source:
            self._rebuild()
        elif old.made is not new.made:
            self._describe()
        if old.step != new.step:
            for chip in self.chips:
                restyle(chip, chosen=chip.index == new.step)

    def _rebuild(self) -> None:
        state = self.document.state
        steps = state.recipe.steps
        self.add_button.setEnabled(state.source is not None)
        shown = [(chip.step.transform.name, chip.step.enabled) for chip in self.chips]
        if steps and shown == [(step.transform.name, step.enabled) for step in steps]:
            self._describe()  # only values changed (a slider being dragged): keep the widgets
            return
        focused = next((chip.index for chip in self.chips if chip.hasFocus()), None)
        clear(self._chips)
        self.chips = [Chip(self, index, step) for index, step in enumerate(steps)]
        for chip in self.chips:
            self._chips.addWidget(chip)
        if not steps:
            words = "No step yet: drag a layer's slider, or add a pass." if state.source else "Open a model first."
            self._chips.addWidget(label(words, "secondary"))
        self._chips.addStretch(1)
        if focused is not None and self.chips:
            self.chips[min(focused, len(self.chips) - 1)].setFocus()
        self._describe()

    def _describe(self) -> None:
        state = self.document.state
        made = state.made
        stages = {stage.index: (at, stage) for at, stage in enumerate(made.replay.stages)} if made is not None else {}
        for chip in self.chips:
            step = chip.step = state.recipe.steps[chip.index]
            chip.setAccessibleName(f"step {chip.index + 1}: {step.transform.label()}")
            at, stage = stages.get(chip.index, (0, None))
            if not step.enabled:
                chip.words.setText("off")
            elif made is None or stage is None or state.stale:
                chip.words.setText("…")
            else:
                chip.words.setText(stage_words(stage, made.sizes[at], made.sizes[at + 1]))
            notes = "\n".join(stage.result.notes) if stage and step.enabled else ""
            chip.mark.setVisible(bool(notes))
            chip.mark.setToolTip(notes)
            chip.mark.setAccessibleName(notes)
            chip.setToolTip("\n\n".join(part for part in (step.transform.label(), notes) if part))

    # -- moving steps by drag ------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take steps."""
        if event.mimeData().hasFormat(STEP_MIME):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Put the step where it was dropped."""
        index = int(bytes(event.mimeData().data(STEP_MIME).data()))
        at = self._strip.mapFrom(self, event.position().toPoint()).x()
        to = sum(1 for chip in self.chips if chip.index != index and chip.geometry().center().x() < at)
        event.acceptProposedAction()
        self.move_step(index, to)
