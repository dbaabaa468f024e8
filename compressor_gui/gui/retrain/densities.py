"""How many weights of each layer are left, as bars."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from compressor_gui.core import units
from compressor_gui.core.names import short_names
from compressor_gui.gui.theme import MARGIN, SMALL, UNIT, Theme, font

_LINE = 20
_NAME = 104
_NUMBER = 52


class Densities(QWidget):
    """A line for each layer: its name, a bar as long as the share of its weights that is not zero, and the share."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._shown: tuple[tuple[str, str, float], ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    @property
    def lines(self) -> dict[str, str]:
        """Short name -> share, as they are shown."""
        return {short: units.percent(share) for _, short, share in self._shown}

    def show_densities(self, densities: Mapping[str, float]) -> None:
        """Layer -> the share of its weights that is not zero, 0..1."""
        short = short_names(densities)
        shown = tuple((name, short[name], share) for name, share in densities.items())
        if len(shown) != len(self._shown):
            self.updateGeometry()
        self._shown = shown
        self.setAccessibleDescription("; ".join(f"{name} {share}" for name, share in self.lines.items()))
        self.update()

    def sizeHint(self) -> QSize:
        """All lines."""
        return QSize(280, _LINE * len(self._shown) + UNIT * 2)

    def minimumSizeHint(self) -> QSize:
        """All lines, however narrow."""
        return QSize(200, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(font(SMALL))
        color = self._theme.color
        left, right = MARGIN + _NAME, self.width() - MARGIN - _NUMBER
        for at, (_, short, share) in enumerate(self._shown):
            line = QRectF(MARGIN, at * _LINE, self.width() - 2 * MARGIN, _LINE)
            painter.setPen(color("text"))
            name = painter.fontMetrics().elidedText(short, Qt.TextElideMode.ElideMiddle, _NAME - 8)
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, name)
            painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, units.percent(share))
            painter.setPen(Qt.PenStyle.NoPen)
            track = QRectF(left, line.center().y() - 3, right - left, 6)
            for width, token in ((track.width(), "slider_track"), (track.width() * share, "accent_and_threshold")):
                painter.setBrush(color(token))
                painter.drawRoundedRect(QRectF(track.left(), track.top(), max(width, 2.0), track.height()), 3, 3)
        painter.end()

    def event(self, event: QEvent) -> bool:
        """A line's tooltip has the layer's whole name."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            at = event.pos().y() // _LINE
            text = ""
            if 0 <= at < len(self._shown):
                name, _, share = self._shown[at]
                text = f"{name}\n{units.percent(share)} of its weights are left"
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)
