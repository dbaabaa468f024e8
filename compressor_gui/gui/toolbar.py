"""The bar at the top: what people do most, the search field, and the menu of everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QLineEdit, QMenu, QSizePolicy, QToolBar, QToolButton, QWidget

from compressor_gui.gui.actions import Actions
from compressor_gui.gui.canvas.graph_panel import GraphPanel
from compressor_gui.gui.samples import samples
from compressor_gui.gui.widgets import label, restyle

NARROW = 1230
"""A window less wide than this, in pixels, has no room for the program's name in its toolbar."""
CLOSE = 1120
"""In one less wide than this the buttons stand closer."""


class SearchField(QLineEdit):
    """Finds nodes by regular expression; Enter goes to the next match, Shift+Enter to the one before."""

    def __init__(self, graph: GraphPanel) -> None:
        super().__init__()
        self.graph = graph
        self.setObjectName("search")
        self.setPlaceholderText("Find a node (Ctrl+F)")
        self.setClearButtonEnabled(True)
        self.setToolTip("A regular expression; Enter goes to the next match, Shift+Enter to the one before")
        self.setAccessibleName("Find a node or layer")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk the matches, or leave."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.graph.next_match(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        elif event.key() == Qt.Key.Key_Escape:
            self.clear()
            self.graph.setFocus()
        else:
            super().keyPressEvent(event)


class Toolbar(QToolBar):
    """Open, samples, undo, prune, quantize, compare, export, search, menu."""

    def __init__(
        self, table: Actions, graph: GraphPanel, open_path: Callable[[Path], None], everything: QMenu, parent: QWidget
    ) -> None:
        super().__init__("Main", parent)
        self.setObjectName("toolbar")
        self.setMovable(False)
        brand = label("Compressor")
        brand.setObjectName("brand")
        self._brand = self.addWidget(brand)
        self.addAction(table["open"])
        self._menu_button("Samples", "Open a model that comes with the program", self._samples_menu(open_path))
        self.addSeparator()
        self.addAction(table["undo"])
        self.addAction(table["redo"])
        self.addSeparator()
        self.addAction(table["prune"])
        self.quantize_button = self._menu_button("Quantize", "", table.menu("Quantize", self))
        self.quantize_button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.quantize_button.setToolTip(table["assistant"].toolTip())
        self.quantize_button.clicked.connect(table["assistant"].trigger)
        self.addAction(table["retrain"])
        self.measure_button = self._menu_button("Measure", "Accuracy, sensitivity, ranges and latency on your data",
                                                table.menu("Measure", self))  # fmt: skip
        self.addSeparator()
        self.addAction(table["compare"])
        self.addAction(table["export"])
        gap = QWidget()
        gap.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.addWidget(gap)
        self.search = SearchField(graph)
        self.search.textChanged.connect(self._search)
        self.matches = label("", "small")
        self._show_matches("")
        self.matches.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.addWidget(self.matches)
        self.addWidget(self.search)
        self.menu_button = self._menu_button("Menu", "Every action", everything)
        for action in self.actions():  # Qt leaves the keys out of the buttons of actions
            if isinstance(button := self.widgetForAction(action), QToolButton):
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window the name goes first, then room between buttons and in the search field."""
        super().resizeEvent(event)
        self._brand.setVisible(self.width() >= NARROW)
        for widget in (self.search, *self.findChildren(QToolButton)):
            restyle(widget, close=self.width() < CLOSE)
            widget.updateGeometry()

    def _menu_button(self, title: str, tip: str, menu: QMenu) -> QToolButton:
        button = QToolButton()
        button.setText(title)
        button.setToolTip(tip)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setMenu(menu)
        menu.aboutToHide.connect(lambda: button.setAttribute(Qt.WidgetAttribute.WA_UnderMouse, False))
        self.addWidget(button)
        return button

    def _samples_menu(self, open_path: Callable[[Path], None]) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for sample in samples():
            action = menu.addAction(sample.title)
            action.setToolTip(sample.text)
            action.triggered.connect(lambda _checked=False, path=sample.path: open_path(path))
        return menu

    def find_node(self) -> None:
        """Go to the search field."""
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def _search(self, pattern: str) -> None:
        count = self.search.graph.set_search(pattern)
        restyle(self.search, invalid=count < 0)
        self._show_matches("" if not pattern else "not valid" if count < 0 else f"{count} found")

    def _show_matches(self, words: str) -> None:
        """Room for the words only where there are any."""
        self.matches.setText(words)
        self.matches.setMinimumWidth(56 if words else 0)
