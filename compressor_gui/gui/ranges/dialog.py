"""The ranges that a step of the recipe stores, opened again: looked at and changed."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtWidgets import QDialog, QWidget

from compressor_gui.core import units
from compressor_gui.core.measure import RangeHistogram
from compressor_gui.core.ranges_file import Limits
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.ranges.editor import RangesEditor
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import label


class RangesDialog(QDialog):
    """Edits ranges; ``accepted`` leaves them in ``editor.ranges``."""

    def __init__(
        self,
        ranges: Mapping[str, Limits],
        histograms: Mapping[str, RangeHistogram],
        theme: Theme,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Ranges")
        self.resize(820, 540)
        column = dialog_column(self, f"{units.counted(len(ranges), 'stored range')}")
        words = (
            "Drag a blue line, or type a number. What a range leaves out is clipped; a narrower one has finer steps."
        )
        column.addWidget(label(words, "secondary"))
        self.editor = RangesEditor(theme, 280)
        self.editor.show_ranges(ranges, histograms)
        self.editor.changed.connect(self._changed)
        column.addWidget(self.editor, 1)
        foot = Foot(self, "Apply")
        self.apply_button = foot.accept_button
        self.apply_button.setEnabled(False)
        self.apply_button.setDefault(False)  # Enter ends the typing of a number
        self.apply_button.setAutoDefault(False)
        self.apply_button.setProperty("role", "primary")
        column.addLayout(foot)

    def _changed(self) -> None:
        self.apply_button.setEnabled(bool(self.editor.edits.edited))
