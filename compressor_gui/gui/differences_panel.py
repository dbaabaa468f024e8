"""The differences between original and compressed, grouped by the step that made them, and the float islands."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QHBoxLayout,
    QStackedWidget,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core import units
from compressor_gui.core.diff import Diff, NodeDiff
from compressor_gui.core.region_boxes import cost_words
from compressor_gui.core.regions import Island, islands
from compressor_gui.gui.document import Document
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import BODY, SMALL, UNIT, Theme, font
from compressor_gui.gui.widgets import label, paragraph

NODE = Qt.ItemDataRole.UserRole + 1
DETAIL = Qt.ItemDataRole.UserRole + 2
CHANGE = Qt.ItemDataRole.UserRole + 3
MOST = 2000
"""Differences listed of one step; the graph shows all."""

KEYS = "N next · P previous"

MARKS = {"added": "+", "removed": "−", "changed": "•"}
ISLAND = "island"
_BADGES = {**{change: (f"change_{change}", mark) for change, mark in MARKS.items()}, ISLAND: ("region_8bit_line", "~")}
"""What a row is about -> the token of its badge's colour, and its mark."""


class _Row(QStyledItemDelegate):
    """Dot with its mark, name elided in the middle, detail on the right."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.theme = theme

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(80, 28)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        theme = self.theme
        rect: QRect = option.rect.adjusted(UNIT, 0, -UNIT * 3, 0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color, mark = _BADGES[index.data(CHANGE)]
        painter.setBrush(QBrush(theme.color(color)))
        painter.setPen(Qt.PenStyle.NoPen)
        badge = QRect(rect.left(), rect.center().y() - 6, 13, 13)
        painter.drawEllipse(badge)
        painter.setPen(QColor("#ffffff" if theme.name == "light" else "#10151d"))
        painter.setFont(font(SMALL, font().Weight.Bold))
        painter.drawText(badge, int(Qt.AlignmentFlag.AlignCenter), mark)
        detail = str(index.data(DETAIL) or "")
        painter.setFont(font(BODY))
        width = painter.fontMetrics().horizontalAdvance(detail)
        right = rect.adjusted(rect.width() - width, 0, 0, 0)
        painter.setPen(theme.color("text_secondary"))
        painter.drawText(right, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight), detail)
        left = rect.adjusted(UNIT * 5, 0, -width - UNIT * 3, 0)
        painter.setPen(theme.color("text"))
        whole, island = str(index.data(NODE)), index.data(CHANGE) == ISLAND  # of a sentence the beginning tells most
        elide = Qt.TextElideMode.ElideRight if island else Qt.TextElideMode.ElideMiddle
        name = painter.fontMetrics().elidedText(whole, elide, left.width())
        painter.drawText(left, int(Qt.AlignmentFlag.AlignVCenter), name)
        painter.restore()


class DifferencesPanel(QWidget):
    """A tree: step -> its nodes, and before them what is float between 8 bits. Choosing one selects it in the graph."""

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("differencesPanel")
        self.document = document
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 8, 0, 4)
        column.setSpacing(4)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 16, 0)
        self.heading = label("Differences by step", "heading")
        head.addWidget(self.heading)
        head.addStretch(1)
        self.summary = label(KEYS, "small")
        head.addWidget(self.summary)
        column.addLayout(head)
        self.stack = QStackedWidget()
        self.empty = paragraph("", "secondary")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.empty.setContentsMargins(0, 8, 16, 0)
        self.stack.addWidget(self.empty)
        self.tree = QTreeView()
        self.tree.setHeaderHidden(True)
        self.tree.setIndentation(UNIT * 4)
        self.tree.setUniformRowHeights(True)
        self.tree.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self.tree.setItemDelegate(_Row(theme, self.tree))
        self.tree.setAccessibleName("Differences by step")
        self.model = QStandardItemModel(self.tree)
        self.tree.setModel(self.model)
        self._rows: dict[str, QStandardItem] = {}
        self.tree.selectionModel().currentChanged.connect(self._chosen)
        self.stack.addWidget(self.tree)
        column.addWidget(self.stack, 1)
        document.changed.connect(self._changed)
        theme.changed.connect(self.tree.viewport().update)
        self._fill()

    def _changed(self, old: State, new: State) -> None:
        if old.diff is not new.diff or old.source is not new.source:
            self._fill()
        elif old.selected != new.selected:
            self._follow(new.selected)
        if old.selected != new.selected or old.diff is not new.diff:
            self.summary.setText(KEYS)

    def show_place(self, index: int, count: int) -> None:
        """Say that the selected node is the ``index``-th (from 1) of ``count`` on the way through the differences, and
        open its group."""
        self.summary.setText(f"{index:,} of {count:,}")
        self._follow(self.document.state.selected, unfold=True)

    def _fill(self) -> None:
        state = self.document.state
        diff = state.diff
        self.tree.selectionModel().blockSignals(True)
        self.model.clear()
        self._rows = {}
        self.tree.selectionModel().blockSignals(False)
        if diff is None or diff.equal:
            self.empty.setText(
                "Open a model to compare it with what you make of it." if state.source is None
                else "Nothing differs yet. Drag a layer's slider, or add a step to the recipe."
                if state.other is None else "The two files hold the same graph."
            )  # fmt: skip
            self.stack.setCurrentWidget(self.empty)
            return
        found = islands(state.regions)
        if found:
            self.model.appendRow(_islands_item(found))
        by_step = state.other is None
        names = [step.transform.name for step in state.made.recipe.steps] if state.made else []
        for (step, name), nodes in _groups(diff, names, by_step):
            title = f"{step + 1}  {name}" if by_step else name
            group = _group_item(step if by_step else None, title, nodes)
            self.model.appendRow(group)
            # A node that several steps touched is found under the last of them.
            children = (group.child(at) for at in range(group.rowCount()))
            self._rows |= {child.data(Qt.ItemDataRole.UserRole): child for child in children}
        self.stack.setCurrentWidget(self.tree)
        self._follow(state.selected)

    def _chosen(self, index: QModelIndex) -> None:
        if not index.isValid():
            return
        if index.parent().isValid():
            self.document.select(str(index.data(Qt.ItemDataRole.UserRole)))
        else:
            step = index.data(Qt.ItemDataRole.UserRole)
            if isinstance(step, int) and step != self.document.state.step:
                self.document.set(step=step)

    def _follow(self, name: str, *, unfold: bool = False) -> None:
        """Make the selected node's row the current one; ``unfold``: also where its group is closed."""
        row = self._rows.get(name)
        if row is not None and (unfold or self.tree.isExpanded(row.parent().index())):
            self.tree.setCurrentIndex(row.index())  # opens the groups around it
            self.tree.scrollTo(row.index())


def _groups(diff: Diff, names: Sequence[str], by_step: bool) -> list[tuple[tuple[int, str], list[NodeDiff]]]:
    """Nodes under every step that touched them, or under the kind of change where no recipe joins the graphs."""
    groups: dict[tuple[int, str], list[NodeDiff]] = {}
    for node in diff.nodes:
        if node.change == "unchanged":
            continue
        keys = [(step, names[step]) for step in node.steps] if by_step else [(0, node.change.capitalize())]
        for key in keys:
            groups.setdefault(key, []).append(node)
    return sorted(groups.items())


def _islands_item(found: Sequence[Island]) -> QStandardItem:
    """The float islands, those that cost most first."""
    item = QStandardItem()
    item.setData("Float islands", NODE)
    item.setData(ISLAND, CHANGE)
    item.setData(f"{len(found):,} · numbers converted", DETAIL)
    item.setToolTip("Float operations between 8-bit ones: numbers are turned to float for them, and back")
    for island in sorted(found, key=lambda one: -(one.elements or 0)):
        child = QStandardItem()
        child.setData(island.nodes[0], Qt.ItemDataRole.UserRole)
        child.setData(island.reason, NODE)
        child.setData(ISLAND, CHANGE)
        child.setData("?" if island.elements is None else units.amount(island.elements), DETAIL)
        shown = "\n".join(island.nodes[:12])
        child.setToolTip(f"{island.reason}\nIt costs {cost_words(island)}\n{shown}")
        item.appendRow(child)
    return item


def _group_item(step: int | None, title: str, nodes: list[NodeDiff]) -> QStandardItem:
    # A step that touched a node before another one removed it did not remove it.
    changes: list[str] = [node.change if step in (None, node.step) else "changed" for node in nodes]
    counts = {change: changes.count(change) for change in MARKS}
    item = QStandardItem()
    item.setData(step, Qt.ItemDataRole.UserRole)
    item.setData(title, NODE)
    item.setData(max(counts, key=lambda change: counts[change]), CHANGE)
    item.setData("  ".join(f"{MARKS[change]}{count:,}" for change, count in counts.items() if count), DETAIL)
    every = ", ".join(f"{count:,} {change}" for change, count in counts.items() if count)
    net = "\nWhat differs in the end; the recipe shows how many more nodes there are after the step than before."
    item.setToolTip(every + (net if step is not None else ""))
    for node, change in zip(nodes[:MOST], changes, strict=False):
        child = QStandardItem()
        child.setData(node.name, Qt.ItemDataRole.UserRole)
        child.setData(node.name, NODE)
        child.setData(change, CHANGE)
        child.setData(node.op, DETAIL)
        came = ", ".join(node.origins)
        child.setToolTip("\n".join(part for part in (node.name, node.reason, f"from {came}" if came else "") if part))
        item.appendRow(child)
    if len(nodes) > MOST:
        rest = QStandardItem()
        rest.setData(f"and {len(nodes) - MOST:,} more, in the graph", NODE)
        rest.setData("changed", CHANGE)
        item.appendRow(rest)
    return item
