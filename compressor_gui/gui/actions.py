"""One table of actions. The toolbar, the menus, the shortcuts' page and the tests all read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from compressor_gui.gui.state import State


def _always(_state: State) -> bool:
    return True


def has_model(state: State) -> bool:
    """Whether a model is open."""
    return state.source is not None


def has_result(state: State) -> bool:
    """Whether there is something to export."""
    return state.source is not None and state.made is not None


def has_differences(state: State) -> bool:
    """Whether two graphs are compared."""
    return state.diff is not None


@dataclass(frozen=True)
class ActionSpec:
    """One thing that the user can do.

    ``menu`` is the menu it stands in; ``checked`` makes it a switch and says when it is on.
    """

    id: str
    title: str
    shortcut: str
    menu: str
    tip: str
    callback: Callable[[], object]
    enabled: Callable[[State], bool] = _always
    checked: Callable[[State], bool] | None = None
    opens_group: bool = False
    """Whether a line stands above it in its menu."""


class Actions:
    """The QActions made from the table."""

    def __init__(self, specs: Iterable[ActionSpec], parent: QObject) -> None:
        self.specs = tuple(specs)
        self._actions: dict[str, QAction] = {}
        for spec in self.specs:
            action = QAction(spec.title, parent)
            action.setObjectName(spec.id)
            keys = QKeySequence.listFromString(spec.shortcut) if spec.shortcut else []
            action.setShortcuts(keys)
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            shown = f" ({keys[0].toString(QKeySequence.SequenceFormat.NativeText)})" if keys else ""
            action.setToolTip(f"{spec.tip}{shown}")
            action.setCheckable(spec.checked is not None)
            action.triggered.connect(lambda _checked=False, run=spec.callback: run())
            self._actions[spec.id] = action

    def __getitem__(self, key: str) -> QAction:
        return self._actions[key]

    def menu(self, name: str, parent: QWidget) -> QMenu:
        """One menu, its actions in the table's order."""
        menu = QMenu(name, parent)
        menu.setToolTipsVisible(True)
        for spec in self.specs:
            if spec.menu == name:
                if spec.opens_group:
                    menu.addSeparator()
                menu.addAction(self._actions[spec.id])
        return menu

    def menus(self) -> list[str]:
        """The menus, in order."""
        return list(dict.fromkeys(spec.menu for spec in self.specs))

    def update(self, state: State) -> None:
        """Enable and check what the state allows."""
        for spec in self.specs:
            action = self._actions[spec.id]
            action.setEnabled(spec.enabled(state))
            if spec.checked is not None:
                action.setChecked(spec.checked(state))
