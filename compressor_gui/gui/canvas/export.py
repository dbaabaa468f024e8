"""The whole picture, not only what is in view, as an SVG, PNG or PDF file: the same painting code as on the screen."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QMarginsF, QPointF, QRectF, QSize, QSizeF
from PySide6.QtGui import QFont, QImage, QPageSize, QPainter, QPdfWriter
from PySide6.QtSvg import QSvgGenerator

from compressor_gui.core.errors import CompressorError
from compressor_gui.gui.canvas.legend import HEIGHT, key_of, paint_legend
from compressor_gui.gui.canvas.painter import Look, Painter
from compressor_gui.gui.canvas.scene import Scene
from compressor_gui.gui.theme import SMALL, font

FORMATS = (".svg", ".png", ".pdf")
_MARGIN, _HEADING, _GAP = 32.0, 32.0, 64.0
_SHARPNESS, _MOST_PIXELS, _LONGEST = 2.0, 60_000_000, 32_000
"""PNG: pixels per unit, where the picture does not get larger than so many altogether and along a side."""


def export_scenes(
    path: Path, scenes: Sequence[Scene], looks: Sequence[Look], headings: Sequence[str], painter: Painter
) -> None:
    """Write scenes side by side under their headings. Raises CompressorError for other formats, or when it can't."""
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise CompressorError(
            f"{path.suffix or 'no ending'} is no picture format", where=str(path), hint=f"use {known}"
        )
    if not any(scene.count for scene in scenes):
        raise CompressorError("there is nothing to draw", where=str(path), hint="open a model first")
    for scene in scenes:
        scene.picture.find_shapes()
    size = _size(scenes)
    if size.width() <= 0 or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise CompressorError(
            "its folder does not exist or can't be written", where=str(path), hint="choose another one"
        )
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        if not _write(temporary, size, scenes, looks, headings, painter) or not temporary.stat().st_size:
            raise CompressorError("it can't be written", where=str(path), hint="is the disk full?")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise CompressorError(f"it can't be written: {error.strerror}", where=str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _write(
    path: Path, size: QSizeF, scenes: Sequence[Scene], looks: Sequence[Look], headings: Sequence[str], paint: Painter
) -> bool:
    kind = path.suffix.lower()
    if kind == ".png":
        area = size.width() * size.height()
        longest = max(size.width(), size.height())
        scale = min(_SHARPNESS, (_MOST_PIXELS / area) ** 0.5, _LONGEST / longest)
        image = QImage((size * scale).toSize(), QImage.Format.Format_RGB32)
        image.fill(paint.theme.color("graph_canvas"))
        painter = QPainter(image)
        _paint(painter, size, scale, scenes, looks, headings, paint)
        painter.end()
        return bool(image.save(str(path)))
    device: QSvgGenerator | QPdfWriter
    if kind == ".svg":
        device = QSvgGenerator()
        device.setFileName(str(path))
        device.setSize(QSize(round(size.width()), round(size.height())))
        device.setViewBox(QRectF(QPointF(), size))
        device.setTitle("Compressor")
    else:
        device = QPdfWriter(str(path))
        device.setResolution(72)
        device.setPageSize(QPageSize(size, QPageSize.Unit.Point, "graph", QPageSize.SizeMatchPolicy.ExactMatch))
        device.setPageMargins(QMarginsF(0, 0, 0, 0))
        device.setTitle("Compressor")
    painter = QPainter()
    if not painter.begin(device):
        return False
    painter.fillRect(QRectF(QPointF(), size), paint.theme.color("graph_canvas"))
    _paint(painter, size, 1.0, scenes, looks, headings, paint)
    painter.end()
    return True


def _size(scenes: Sequence[Scene]) -> QSizeF:
    width = sum(scene.bounds.width() for scene in scenes) + _GAP * (len(scenes) - 1) + 2 * _MARGIN
    top = min(scene.bounds.top() for scene in scenes)
    bottom = max(scene.bounds.bottom() for scene in scenes)
    return QSizeF(max(width, 360.0), bottom - top + 2 * _MARGIN + _HEADING + HEIGHT)


def _paint(
    painter: QPainter,
    size: QSizeF,
    scale: float,
    scenes: Sequence[Scene],
    looks: Sequence[Look],
    headings: Sequence[str],
    paint: Painter,
) -> None:
    top = min(scene.bounds.top() for scene in scenes)
    high = max(scene.bounds.bottom() for scene in scenes) - top
    left = _MARGIN
    for scene, look, heading in zip(scenes, looks, headings, strict=False):
        bounds = scene.bounds
        view = QRectF(bounds.left(), top, bounds.width(), high)
        painter.save()
        painter.translate(left * scale, (_MARGIN + _HEADING) * scale)
        bare = Look(matches=look.matches, amounts=look.amounts, pale=look.pale, by_change=look.by_change)
        paint.paint(painter, scene, view, scale, bare)
        painter.restore()
        painter.save()
        painter.scale(scale, scale)
        painter.setFont(font(SMALL, QFont.Weight.DemiBold))
        painter.setPen(paint.theme.color("text_secondary"))
        painter.drawText(QPointF(left, _MARGIN + 8), heading)
        painter.restore()
        left += bounds.width() + _GAP
    painter.scale(scale, scale)
    key = key_of([scene.picture for scene in scenes], looks)
    paint_legend(painter, paint.theme, QPointF(_MARGIN, size.height() - _MARGIN / 2 - HEIGHT), key)
