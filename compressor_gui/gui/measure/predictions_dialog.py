"""Predictions: each example's picture, and what the original and the compressed model take it for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QFont, QPainter, QPixmap
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QHBoxLayout,
    QListView,
    QPushButton,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from compressor_gui.core import units
from compressor_gui.core.measure import Prediction
from compressor_gui.gui.dialogs import dialog_column
from compressor_gui.gui.measure.examples import class_name, paint_picture, pixmap
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import BODY, SMALL, Theme, font
from compressor_gui.gui.widgets import label, paragraph

Index = QModelIndex | QPersistentModelIndex
_SIDE = 64
_ROW = 84
_TOP = 3
"""How many classes are listed for each model."""


def differs(item: Prediction) -> bool:
    """Whether original and compressed take an example for different classes."""
    return bool(item.top and item.against) and item.top[0][0] != item.against[0][0]


def is_wrong(item: Prediction) -> bool:
    """Whether the model misses the label, where there is one."""
    return item.label >= 0 and bool(item.top) and item.top[0][0] != item.label


def change_of(item: Prediction) -> float:
    """How much the compressed model's score of the original's first class differs."""
    if not item.top or not item.against:
        return 0.0
    first, _, before = item.against[0]
    return abs(before - next((score for index, _, score in item.top if index == first), 0.0))


class PredictionsModel(QAbstractListModel):
    """The examples: those that differ first, then those that are wrong, then those whose score changed most."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Prediction] = []
        self._pngs: Mapping[str, str] = {}
        self._pictures: dict[str, QPixmap] = {}

    def show_items(self, items: tuple[Prediction, ...], only_differing: bool) -> None:
        """Show these examples."""
        self.beginResetModel()
        shown = [item for item in items if differs(item)] if only_differing else items
        self.items = sorted(shown, key=lambda item: (not differs(item), not is_wrong(item), -change_of(item)))
        self.endResetModel()

    def show_pictures(self, pngs: Mapping[str, str]) -> None:
        """Use these pictures."""
        self._pngs, self._pictures = pngs, {}
        if self.items:
            self.dataChanged.emit(self.index(0), self.index(len(self.items) - 1))

    def picture(self, source: str) -> QPixmap:
        """An example's picture, decoded when it is first seen."""
        if source not in self._pictures:
            self._pictures[source] = pixmap(self._pngs.get(source, ""))
        return self._pictures[source]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """How many examples there are."""
        return 0 if parent.isValid() else len(self.items)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """An example in words, for screen readers and tooltips."""
        item = self.items[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            best = [f"{title}: {class_words(top[0])}" for title, top in _sides(item) if top]
            return (
                "\n".join((item.source, *best))
                if role == Qt.ItemDataRole.ToolTipRole
                else ", ".join((item.source, *best))
            )
        return None


def _sides(item: Prediction) -> tuple[tuple[str, tuple[tuple[int, str, float], ...]], ...]:
    return (("original", item.against), ("compressed", item.top)) if item.against else (("original", item.top),)


def class_words(entry: tuple[int, str, float]) -> str:
    """A class's name, or its number."""
    return entry[1] or str(entry[0])


class _Delegate(QStyledItemDelegate):
    def __init__(self, model: PredictionsModel, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._model, self._theme = model, theme
        self.classes: tuple[str, ...] = ()

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(480, _ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        item, theme = self._model.items[index.row()], self._theme
        row: QRect = option.rect
        painter.save()
        painter.fillRect(row.left(), row.bottom(), row.width(), 1, theme.color("hairline"))
        box = QRect(row.left() + 4, row.top() + 10, _SIDE, _SIDE)
        painter.fillRect(box, theme.color("window"))
        paint_picture(painter, box, self._model.picture(item.source))
        text = QRect(box.right() + 16, row.top() + 10, 132, 18)
        painter.setFont(font(SMALL))
        painter.setPen(theme.color("text_secondary"))
        source = painter.fontMetrics().elidedText(item.source, Qt.TextElideMode.ElideMiddle, text.width())
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, source)
        painter.setFont(font(BODY, QFont.Weight.Medium))
        painter.setPen(theme.color("text"))
        name = class_name(item.label, self.classes)
        if name:
            label_text = painter.fontMetrics().elidedText(f"is {name}", Qt.TextElideMode.ElideRight, text.width())
            painter.drawText(text.translated(0, 20), Qt.AlignmentFlag.AlignVCenter, label_text)
        if differs(item):
            painter.setFont(font(SMALL))
            painter.setPen(theme.color("change_changed"))
            painter.drawText(text.translated(0, 40), Qt.AlignmentFlag.AlignVCenter, "differs")
        sides = _sides(item)
        left = text.right() + 16
        width = (row.right() - left - 8) // 2
        for at, (_, top) in enumerate(sides):
            self._paint_classes(
                painter, QRect(left + at * width, row.top() + 9, width - 16, _ROW - 16), item.label, top
            )
        painter.restore()

    def _paint_classes(
        self, painter: QPainter, box: QRect, truth: int, top: tuple[tuple[int, str, float], ...]
    ) -> None:
        theme = self._theme
        for at, entry in enumerate(top[:_TOP]):
            line = QRect(box.left(), box.top() + at * 22, box.width(), 20)
            share = min(max(entry[2], 0.0), 1.0)
            right = truth < 0 or entry[0] == truth
            painter.fillRect(line.left(), line.bottom() - 1, line.width(), 2, theme.color("slider_track"))
            color = "histogram_kept" if at else "change_added" if right and truth >= 0 else (
                "accent_and_threshold" if right else "change_removed")  # fmt: skip
            painter.fillRect(line.left(), line.bottom() - 1, round(line.width() * share), 2, theme.color(color))
            painter.setFont(font(BODY - 1, QFont.Weight.DemiBold if at == 0 else QFont.Weight.Normal))
            painter.setPen(theme.color("text" if at == 0 else "text_secondary"))
            number = units.percent(entry[2]) if 0 <= entry[2] <= 1 else units.number(entry[2])
            painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, number)
            room = line.width() - painter.fontMetrics().horizontalAdvance(number) - 8
            name = painter.fontMetrics().elidedText(class_words(entry), Qt.TextElideMode.ElideRight, room)
            painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)


class PredictionsDialog(QDialog):
    """The list of examples, and the button that predicts."""

    def __init__(self, measurer: Measurer, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measurer = measurer
        self.setWindowTitle("Predictions")
        self.resize(760, 640)
        column = dialog_column(self, "What the models take examples for")
        column.setSpacing(8)
        row = QHBoxLayout()
        self.words = paragraph("", "secondary")
        row.addWidget(self.words, 1)
        self.only = QCheckBox("Only those that differ")
        self.only.toggled.connect(lambda: self._show(self.measurer.document.state))
        row.addWidget(self.only)
        column.addLayout(row)
        self.model = PredictionsModel()
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setUniformItemSizes(True)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.view.setSelectionMode(QListView.SelectionMode.NoSelection)
        self._delegate = _Delegate(self.model, theme, self.view)
        self.view.setItemDelegate(self._delegate)
        heads = QHBoxLayout()
        heads.setContentsMargins(0, 0, 18, 0)  # the scroll bar's room
        heads.setSpacing(0)
        self._heads = [label("original", "heading"), label("compressed", "heading")]
        heads.addSpacing(4 + _SIDE + 16 + 132 + 16)
        for head in self._heads:
            heads.addWidget(head, 1)
        column.addLayout(heads)
        column.addWidget(self.view, 1)
        row = QHBoxLayout()
        row.addStretch(1)
        self.run_button = QPushButton("Predict")
        self.run_button.clicked.connect(self.run)
        close = QPushButton("Close")
        close.setAutoDefault(False)
        close.clicked.connect(self.reject)
        row.addWidget(close)
        row.addWidget(self.run_button)
        column.addLayout(row)
        measurer.changed.connect(self._show_running)
        measurer.document.changed.connect(self._changed)
        self._show(measurer.document.state)
        self.model.show_pictures(measurer.document.state.measured.pictures)
        self._show_running()

    def run(self) -> None:
        """Predict, or cancel what runs."""
        kinds = [kind for kind in ("predict", "pictures") if kind in self.measurer.running]
        for kind in kinds:
            self.measurer.cancel(kind)
        if not kinds:
            self.measurer.predict()

    def _show_running(self) -> None:
        running = "predict" in self.measurer.running or "pictures" in self.measurer.running
        self.run_button.setText("Cancel" if running else "Predict again" if self.model.items else "Predict")

    def _changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self.reject()
            return
        if old.measured.predictions is not new.measured.predictions or old.recipe is not new.recipe:
            self._show(new)
        if old.measured.pictures is not new.measured.pictures:
            self.model.show_pictures(new.measured.pictures)

    def _show(self, state: State) -> None:
        found = state.measured.predictions
        items = found.value.items if found else ()
        preview = state.measured.preview
        self._delegate.classes = preview.value.classes if preview else ()
        self.model.show_items(items, self.only.isChecked())
        both = any(item.against for item in items)
        self._heads[1].setVisible(both)
        self.only.setVisible(both)
        if found is None:
            self.words.setText("The first classes of original and compressed model beside each picture stand here.")
            return
        count = sum(map(differs, items))
        wrong = sum(map(is_wrong, items))
        words = f"The first {len(items):,} examples" if self._are_fewer(state) else f"{len(items):,} examples"
        words += f", {count:,} differ" if both else ""
        words += (
            f", {wrong:,} wrong{' in the compressed model' if both else ''}" if any(i.label >= 0 for i in items) else ""
        )
        if found.is_stale(state.recipe, state.data):
            words += " · before the recipe or the data changed"
        if self.only.isChecked() and not count:
            words += " · there are none that differ: both models take every example for the same class"
        self.words.setText(words)

    def _are_fewer(self, state: State) -> bool:
        """Whether the data may have more examples than are shown."""
        found, preview = state.measured.predictions, state.measured.preview
        assert found is not None
        shown = len(found.value.items) + len(found.value.skipped)
        if preview is None or preview.data != found.data or preview.value.count < 0:
            return True  # nobody has counted them
        return preview.value.count > shown

    def done(self, result: int) -> None:
        """Close; a run goes on, its progress is in the tray."""
        self.measurer.changed.disconnect(self._show_running)
        self.measurer.document.changed.disconnect(self._changed)
        super().done(result)
