"""The menu of passes, by keys."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core.passes import ALL
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.pass_form import PassForm
from compressor_gui.gui.step_menu import GROUPS
from tests.gui.measuring import dialog
from tests.gui.test_window import settle

POPUPS = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)  # the off-screen one


def test_every_pass_is_in_one_group() -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert sorted(names) == sorted(transform.name for transform in ALL)


def shown(window: MainWindow) -> list[str]:
    menu = window.recipe.add_menu
    return [action.text() for action in menu.actions()[1:] if action.isVisible()]


@POPUPS
def test_a_pass_is_found_by_typing(qtbot: QtBot, opened: MainWindow) -> None:
    menu = opened.recipe.add_menu
    menu.popup(opened.mapToGlobal(opened.rect().center()))
    qtbot.waitUntil(menu.isVisible)
    assert shown(opened) == list(GROUPS)
    assert menu.search.hasFocus()
    qtbot.keyClicks(menu.search, "batch norm")
    assert shown(opened)[:2] == ["Fold batch norms", "Fold old batch norms"]
    qtbot.keyClicks(menu.search, " xyz")
    assert shown(opened) == []
    menu.search.clear()
    assert shown(opened) == list(GROUPS)
    qtbot.keyClicks(menu.search, "strip")
    qtbot.keyClick(menu.search, Qt.Key.Key_Return)
    assert not menu.isVisible()
    if form := next((found for found in opened.findChildren(PassForm) if found.isVisible()), None):
        qtbot.keyClick(form, Qt.Key.Key_Return)
    settle(qtbot, opened)
    assert [step.name for step in opened.document.state.recipe.active] == ["strip_unused_nodes"]


@POPUPS
def test_the_arrow_keys_go_through_what_was_found(qtbot: QtBot, opened: MainWindow) -> None:
    menu = opened.recipe.add_menu
    menu.popup(opened.mapToGlobal(opened.rect().center()))
    qtbot.waitUntil(menu.isVisible)
    qtbot.keyClicks(menu.search, "prune")
    first = menu.activeAction()
    qtbot.keyClick(menu.search, Qt.Key.Key_Down)
    assert menu.activeAction() is not first
    assert menu.activeAction().text() == shown(opened)[1]
    qtbot.keyClick(menu.search, Qt.Key.Key_Return)
    dialog(opened, PassForm).reject()


@POPUPS
def test_groups_are_walked_by_the_arrow_keys(qtbot: QtBot, opened: MainWindow) -> None:
    menu = opened.recipe.add_menu
    menu.popup(opened.mapToGlobal(opened.rect().center()))
    qtbot.waitUntil(menu.isVisible)
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Right):
        qtbot.keyClick(menu.search, key)
    group = menu.groups[0 if menu.groups[0].isVisible() else 1]
    qtbot.waitUntil(group.isVisible)
    qtbot.keyClick(group, Qt.Key.Key_Escape)
    menu.close()
