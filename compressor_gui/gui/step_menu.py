"""The menu of all passes: in groups, or those that match what is typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget, QWidgetAction

from compressor_gui.core.passes import BY_NAME, Pass

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Prune and shrink": ("prune", "prune_blocks", "prune_n_of_m", "remove_channels", "factorize"),
    "Quantize": (
        "quantize_weights",
        "mixed_precision",
        "round_weights",
        "quantize_nodes",
        "freeze_requantization_ranges",
        "fuse_int8",
        "quantize_placeholders",
    ),
    "Prepare for 8 bits": ("equalize_layers", "correct_biases", "clip_outliers", "weights", "fake_quantize_concat"),
    "Fold and fuse": (
        "fold_batch_norms",
        "fold_old_batch_norms",
        "fold_constants",
        "flatten_atrous_conv",
        "fuse_pad",
    ),
    "Nodes": (
        "strip_unused_nodes",
        "remove_nodes",
        "merge_duplicate_nodes",
        "sort_by_execution_order",
        "insert_logging",
    ),
    "Names, attributes, devices": (
        "rename_outputs",
        "rename_node",
        "rename_op",
        "rename_attribute",
        "remove_attribute",
        "remove_device",
        "set_device",
    ),
}
"""Title -> names of passes, in the order of use."""
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class StepMenu(QMenu):
    """``chosen`` is called with the pass. ``passes``: name -> its action; typing finds by title, name or summary."""

    def __init__(self, chosen: Callable[[type[Pass]], object], parent: QWidget) -> None:
        super().__init__(parent)
        self.setToolTipsVisible(True)
        self.search = QLineEdit()
        self.search.setObjectName("stepSearch")
        self.search.setPlaceholderText("Find a pass")
        self.search.setAccessibleName("Find a pass")
        self.search.textChanged.connect(self._find)
        self.search.installEventFilter(self)
        field = QWidgetAction(self)
        field.setDefaultWidget(self.search)
        self.addAction(field)
        self.passes: dict[str, QAction] = {}
        self.groups: list[QMenu] = []
        for title, names in GROUPS.items():
            group = self.addMenu(title)
            group.setToolTipsVisible(True)
            self.groups.append(group)
            for name in names:
                transform = BY_NAME[name]
                action = self.passes[name] = group.addAction(transform.title)
                action.setToolTip(f"{name}: {transform.summary}")
                action.triggered.connect(lambda _checked=False, transform=transform: chosen(transform))
        self._found: list[QAction] = []
        self.aboutToShow.connect(self._begin)

    def _begin(self) -> None:
        self.search.clear()
        self.search.setFocus(Qt.FocusReason.PopupFocusReason)

    def _find(self, text: str) -> None:
        """Show what matches, those whose title or name does first; the groups while nothing is typed."""
        for action in self._found:
            self.removeAction(action)
        words = text.lower().split()
        found = [one for one in self.passes.values() if words and _has(words, f"{one.text()} {one.toolTip()}")]
        self._found = sorted(found, key=lambda one: not _has(words, f"{one.text()} {one.toolTip().partition(':')[0]}"))
        for group in self.groups:
            group.menuAction().setVisible(not words)
        self.addActions(self._found)
        if self._found:
            self.setActiveAction(self._found[0])
            self.search.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Enter takes the pass that is marked; the arrow keys go through the menu, and its groups."""
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in _ENTER and self._found:
                action = self.activeAction() if self.activeAction() in self._found else self._found[0]
                self.close()
                action.trigger()
                return True
            walks = not self.search.text() and event.key() in (*_ENTER, Qt.Key.Key_Left, Qt.Key.Key_Right)
            if walks or event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Escape):
                self.keyPressEvent(event)
                return True
        return super().eventFilter(watched, event)


def _has(words: list[str], text: str) -> bool:
    return all(word in text.lower() for word in words)
