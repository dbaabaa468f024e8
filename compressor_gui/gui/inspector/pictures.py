"""Weights as pictures: a grid of convolution kernels, or the heat map of a matrix.

Pictures are index arrays first (uint8, :data:`ZERO` for weights that are exactly zero, else 1..255 around
:data:`MIDDLE`), so that they are made once and coloured anew when the theme changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QImage, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from compressor_gui.core import units
from compressor_gui.core.layers import Layer
from compressor_gui.gui.theme import MARGIN, SMALL, UNIT, Theme, font

ZERO, MIDDLE = 0, 128
MAX_KERNELS = 256
MAX_SIDE = 256
_VISIBLE = 0.18
"""The palest tint of a weight that is not zero: it must differ from zero's grey."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of weights: ``indices`` (height, width), uint8, or ``colors`` (height, width, 3), uint8, for RGB.

    ``scale`` is the magnitude that has the full colour; ``cell`` the height and width of one kernel (0: a matrix), with
    a gap of one pixel around each; ``words`` what is shown.
    """

    indices: np.ndarray
    colors: np.ndarray | None
    gaps: np.ndarray | None
    scale: float
    cell: tuple[int, int]
    words: str

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in weights."""
        found = self.indices.shape
        return int(found[0]), int(found[1])


def picture_of(layer: Layer, weights: np.ndarray | None = None) -> Picture:
    """The picture of a layer's weights, or of others in their place: kernels where they have an extent, or a matrix."""
    weights = layer.weights if weights is None else weights
    shape = weights.shape
    if "Conv2D" in layer.op or "Conv2d" in layer.op:
        if weights.ndim == 4 and max(shape[:2]) > 1:
            return _kernels(layer, weights)
        if weights.ndim == 4:
            return _matrix(weights.reshape(shape[2], shape[3]))
    return _matrix(weights.reshape(-1, shape[-1]) if weights.ndim != 2 else weights)


def _kernels(layer: Layer, weights: np.ndarray) -> Picture:
    height, width, inputs, outputs = weights.shape
    depthwise = layer.op == "DepthwiseConv2dNative"
    scale = _scale(weights)
    if inputs == 3 and not depthwise and layer.op == "Conv2D":
        stack = np.moveaxis(weights[..., :MAX_KERNELS], 3, 0)
        rgb = np.clip(stack / (2 * scale) + 0.5, 0, 1)
        grid, gaps = _grid((rgb * 255).astype(np.uint8), height, width)
        return Picture(
            grid[..., 0], grid, gaps, scale, (height, width), _counted(outputs, "kernels, as red, green, blue")
        )
    if depthwise:
        stack, total, what = weights.reshape(height, width, -1), inputs * outputs, "kernels"
    elif layer.op == "Conv2DBackpropInput":  # height, width, out, in
        stack, total, what = weights[..., 0], inputs, "kernels, first input channel"
    else:
        stack, total, what = weights[:, :, 0, :], outputs, "kernels, first input channel" if inputs > 1 else "kernels"
    stack = np.moveaxis(stack[..., :MAX_KERNELS], 2, 0)
    grid, gaps = _grid(_indices(stack, scale), height, width)
    return Picture(grid, None, gaps, scale, (height, width), _counted(total, what))


def _counted(total: int, what: str) -> str:
    return f"{total} {what}" if total <= MAX_KERNELS else f"the first {MAX_KERNELS} of {total} {what}"


def _grid(stack: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernels (n, height, width[, 3]) side by side, and where the gaps between them are."""
    count = len(stack)
    columns = max(1, min(count, math.ceil(math.sqrt(count * height / width * 1.6))))
    rows = math.ceil(count / columns)
    shape = (rows * (height + 1) - 1, columns * (width + 1) - 1)
    grid = np.zeros((*shape, *stack.shape[3:]), np.uint8)
    gaps = np.ones(shape, bool)
    for index, kernel in enumerate(stack):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        grid[top : top + height, left : left + width] = kernel
        gaps[top : top + height, left : left + width] = False
    return grid, gaps


def _matrix(weights: np.ndarray) -> Picture:
    rows, columns = weights.shape
    scale = _scale(weights)
    step = max(math.ceil(rows / MAX_SIDE), 1), max(math.ceil(columns / MAX_SIDE), 1)
    words = f"{rows:,} × {columns:,}"
    if step != (1, 1):
        weights = _strongest(weights, *step)
        words += f", each dot the strongest of {step[0]} × {step[1]}"
    return Picture(_indices(weights, scale), None, None, scale, (0, 0), words)


def _strongest(weights: np.ndarray, down: int, across: int) -> np.ndarray:
    """The weight of largest magnitude in each block of ``down`` x ``across``."""
    rows, columns = weights.shape
    padded = np.zeros((-(-rows // down) * down, -(-columns // across) * across), np.float32)
    padded[:rows, :columns] = weights
    blocks = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across)
    high, low = blocks.max((1, 3)), blocks.min((1, 3))
    strongest: np.ndarray = np.where(high >= -low, high, low)
    return strongest


def _scale(weights: np.ndarray) -> float:
    """The magnitude of the full colour: the 99.5th percentile of a sample, lest one outlier fade the rest."""
    sample = np.abs(weights.reshape(-1)[:: max(weights.size // 100_000, 1)])
    sample = sample[np.isfinite(sample) & (sample > 0)]
    return float(np.quantile(sample, 0.995)) if sample.size else 1.0


def _indices(values: np.ndarray, scale: float) -> np.ndarray:
    clean = np.nan_to_num(values, nan=0.0)
    strength = np.clip(clean / scale, -1, 1)
    indices = np.rint(strength * 127).astype(np.int16) + MIDDLE
    indices[clean == 0] = ZERO
    packed: np.ndarray = indices.astype(np.uint8)
    return packed


def color_table(theme: Theme) -> list[int]:
    """The diverging map: vermilion below zero, blue above, and grey for weights that are exactly zero."""
    below, above, paper = theme.color("change_removed"), theme.color("change_changed"), theme.color("panel")
    table = [theme.color("histogram_zeroed").rgb()]
    for index in range(1, 256):
        strength = (index - MIDDLE) / 127
        amount = _VISIBLE + (1 - _VISIBLE) * abs(strength)
        table.append(_mixed(paper, above if strength >= 0 else below, min(amount, 1.0)).rgb())
    return table


def _mixed(a: QColor, b: QColor, amount: float) -> QColor:
    return QColor.fromRgbF(
        a.redF() + (b.redF() - a.redF()) * amount,
        a.greenF() + (b.greenF() - a.greenF()) * amount,
        a.blueF() + (b.blueF() - a.blueF()) * amount,
    )


def image_of(picture: Picture, theme: Theme) -> QImage:
    """The picture in the theme's colours, a pixel for each weight."""
    if picture.colors is not None:
        rgba = np.dstack((picture.colors, np.full(picture.shape, 255, np.uint8)))
    else:
        table = np.array(color_table(theme), np.uint32)
        argb = table[picture.indices]
        rgba = np.dstack([(argb >> shift & 255).astype(np.uint8) for shift in (16, 8, 0, 24)])
    if picture.gaps is not None:
        panel = theme.color("panel")
        rgba[picture.gaps] = (panel.red(), panel.green(), panel.blue(), 255)
    rgba = np.ascontiguousarray(rgba)
    height, width = picture.shape
    return QImage(rgba.data, width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()


class WeightPicture(QWidget):
    """Shows a picture as large as the width allows, and the colours' scale below it."""

    MAX_HEIGHT = 280

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._picture: Picture | None = None
        self._image = QImage()
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMouseTracking(True)
        theme.changed.connect(self._recolor)

    def show_picture(self, picture: Picture | None) -> None:
        """Show a picture; None clears."""
        self._picture = picture
        self.setAccessibleDescription(picture.words if picture else "")
        self._recolor()
        self.updateGeometry()

    def _recolor(self) -> None:
        self._image = image_of(self._picture, self._theme) if self._picture else QImage()
        self.update()

    def hasHeightForWidth(self) -> bool:
        """The picture keeps its proportions."""
        return True

    def heightForWidth(self, width: int) -> int:
        """The picture's height at a width, and its legend's."""
        return int(self._frame(width).height()) + 3 * UNIT + 32

    def sizeHint(self) -> QSize:
        """As wide as the panel."""
        return QSize(300, self.heightForWidth(max(self.width(), 300)))

    def minimumSizeHint(self) -> QSize:
        """Whatever the width."""
        return QSize(120, self.heightForWidth(max(self.width(), 120)))

    def _frame(self, width: int) -> QRectF:
        """Where the picture lies: whole pixels for each weight where it is small enough."""
        room = width - 2 * MARGIN
        rows, columns = self._picture.shape if self._picture else (1, 1)
        step = min(room / columns, self.MAX_HEIGHT / rows, 24.0)
        if step >= 2:
            step = math.floor(step)
        return QRectF(MARGIN, UNIT, columns * step, max(rows * step, 4.0))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """The picture and its legend."""
        if self._picture is None:
            return
        painter = QPainter(self)
        frame = self._frame(self.width())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, frame.width() < self._picture.shape[1])
        painter.drawImage(frame, self._image)
        painter.setFont(font(SMALL))
        painter.setPen(self._theme.color("text_secondary"))
        line = QRectF(MARGIN, frame.bottom() + UNIT, self.width() - 2 * MARGIN, 16)
        words = painter.fontMetrics().elidedText(self._picture.words, Qt.TextElideMode.ElideMiddle, int(line.width()))
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, words)
        if self._picture.colors is None:
            self._paint_legend(painter, line.translated(0, 16))
        painter.end()

    def _paint_legend(self, painter: QPainter, line: QRectF) -> None:
        assert self._picture is not None
        table = color_table(self._theme)
        low, high = units.number(-self._picture.scale), units.number(self._picture.scale)
        advance = painter.fontMetrics().horizontalAdvance
        left = line.left() + advance(low) + 6
        bar = QRectF(left, line.center().y() - 3, 90, 6)
        gradient = QLinearGradient(bar.topLeft(), QPointF(bar.right(), bar.top()))
        for at in (0.0, 0.49, 0.51, 1.0):
            gradient.setColorAt(at, QColor.fromRgb(table[1 + round(at * 254)]))
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, low)
        painter.fillRect(bar, gradient)
        painter.drawText(line.translated(bar.right() + 6 - line.left(), 0), Qt.AlignmentFlag.AlignVCenter, high)
        zero = QRectF(bar.right() + 6 + advance(high) + 14, bar.top(), 6, 6)
        painter.fillRect(zero, self._theme.color("histogram_zeroed"))
        painter.drawText(line.translated(zero.right() + 5 - line.left(), 0), Qt.AlignmentFlag.AlignVCenter, "zero")

    def kernel_at(self, at: QPointF) -> int | None:
        """Which kernel lies under a point; None between them, and in a matrix."""
        if self._picture is None or not self._picture.cell[0]:
            return None
        frame = self._frame(self.width())
        if not frame.contains(at):
            return None
        rows, columns = self._picture.shape
        height, width = self._picture.cell
        row = int((at.y() - frame.top()) / frame.height() * rows) // (height + 1)
        column = int((at.x() - frame.left()) / frame.width() * columns) // (width + 1)
        return row * ((columns + 1) // (width + 1)) + column

    def event(self, event: QEvent) -> bool:
        """The tooltip says which kernel it is."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            kernel = self.kernel_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), "" if kernel is None else f"kernel {kernel}", self)
            return True
        return super().event(event)
