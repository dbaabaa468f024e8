"""Look: one table of colours for light and dark, one type scale, one spacing unit, and the style sheet of them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette

from compressor_gui.core.chart import FONTS

SMALL, BODY, TITLE, LARGE = 11, 13, 16, 20
"""The type scale, in pixels."""
UNIT = 4
"""The spacing unit, in pixels."""
MARGIN = 14
"""The room between a panel's edge and what stands in it, in pixels."""
RADIUS = 4

Choice = Literal["system", "light", "dark"]


class Theme(QObject):
    """The colours in use; ``changed`` tells views to take them anew.

    ``choice`` is what the user wants: ``system`` follows the desktop's light or dark.
    """

    changed = Signal()

    def __init__(self, choice: Choice = "system", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tables: dict[str, dict] = json.loads(files("resources").joinpath("theme.json").read_text("utf-8"))
        self.choice: Choice = choice
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)

    @property
    def name(self) -> Literal["light", "dark"]:
        """The table in use."""
        if self.choice != "system":
            return self.choice
        return "dark" if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark else "light"

    def choose(self, choice: Choice) -> None:
        """Use one table, or follow the system."""
        self.choice = choice
        self.changed.emit()

    def _system_changed(self) -> None:
        if self.choice == "system":
            self.changed.emit()

    def hex(self, token: str) -> str:
        """A token's colour as ``#rrggbb``."""
        return str(self._tables[self.name][token])

    def color(self, token: str, alpha: float = 1.0) -> QColor:
        """A token's colour, with an opacity from 0 to 1."""
        color = QColor(self.hex(token))
        if alpha < 1.0:
            color.setAlphaF(alpha)
        return color

    def ramp(self, amount: float) -> QColor:
        """The sequential map (bytes, sparsity): 0 is the palest, 1 the strongest."""
        stops = [QColor(stop) for stop in self._tables[self.name]["ramp"]]
        position = min(max(amount, 0.0), 1.0) * (len(stops) - 1)
        index = min(int(position), len(stops) - 2)
        a, b, t = stops[index], stops[index + 1], position - index
        return QColor.fromRgbF(
            a.redF() + (b.redF() - a.redF()) * t,
            a.greenF() + (b.greenF() - a.greenF()) * t,
            a.blueF() + (b.blueF() - a.blueF()) * t,
        )

    def op_colors(self, family: str) -> tuple[QColor, QColor]:
        """Fill and text of an op family: convolution, matmul, activation, pool, normalisation, quantized, other."""
        return self.color(f"op_{family}_fill"), self.color(f"op_{family}_text")

    def palette(self) -> QPalette:
        """The palette for what the style sheet does not reach."""
        palette = QPalette()
        roles = {
            QPalette.ColorRole.Window: "panel",
            QPalette.ColorRole.WindowText: "text",
            QPalette.ColorRole.Base: "panel",
            QPalette.ColorRole.AlternateBase: "window",
            QPalette.ColorRole.Text: "text",
            QPalette.ColorRole.Button: "panel",
            QPalette.ColorRole.ButtonText: "text",
            QPalette.ColorRole.BrightText: "error",
            QPalette.ColorRole.Highlight: "row_selected",
            QPalette.ColorRole.HighlightedText: "text",
            QPalette.ColorRole.PlaceholderText: "text_disabled_and_edges",
            QPalette.ColorRole.ToolTipBase: "panel",
            QPalette.ColorRole.ToolTipText: "text",
            QPalette.ColorRole.Link: "accent_and_threshold",
            QPalette.ColorRole.Accent: "accent_and_threshold",
            QPalette.ColorRole.Mid: "hairline",
        }
        for role, token in roles.items():
            palette.setColor(role, self.color(token))
        for role in (QPalette.ColorRole.Text, QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText):
            palette.setColor(QPalette.ColorGroup.Disabled, role, self.color("text_disabled_and_edges"))
        return palette

    def style_sheet(self) -> str:
        """``resources/style.qss`` with every ``@token`` replaced."""
        text = files("resources").joinpath("style.qss").read_text("utf-8")
        table = {key: value for key, value in self._tables[self.name].items() if isinstance(value, str)}
        table["icons"] = Path(str(files("resources").joinpath("icons"))).as_posix()
        for key in sorted(table, key=len, reverse=True):
            text = text.replace(f"@{key}", table[key])
        return text


def load_fonts() -> None:
    """Register the font that the program brings, so that it looks the same everywhere, in charts too."""
    QFontDatabase.addApplicationFontFromData(files("resources").joinpath("fonts", "Inter.ttf").read_bytes())
    QFont.insertSubstitution(FONTS, "Inter")  # QtSvg takes the list for one name


def font(size: int = BODY, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    """A font of the type scale, with tabular figures."""
    out = QFont(["Inter", "Inter Variable", "Noto Sans", "DejaVu Sans"])
    out.setPixelSize(size)
    out.setWeight(weight)
    out.setFeature(QFont.Tag("tnum"), 1)
    return out
