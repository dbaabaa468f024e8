"""The data in the measure panel: what it is, its first pictures, and the button that chooses other data."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import PreviewResult
from compressor_gui.gui.inspector.section import Fact, Facts
from compressor_gui.gui.measure.examples import Examples
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.part import Part
from compressor_gui.gui.measure.words import data_name
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN
from compressor_gui.gui.widgets import paragraph


class DataPart(Part):
    """What examples the measurements use."""

    kind = "preview"
    verb = "Choose data …"
    empty = (
        "Accuracy, sensitivity and ranges are measured on examples of yours: drop a folder of pictures or a data set "
        "here (IDX, NumPy, TFRecord, tf.data), or choose one."
    )

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._seen: Of[PreviewResult] | None = None
        self.facts = Facts(self.theme)
        self.pictures = Examples(self.theme, 52, rows=2)
        self.summary = paragraph("", "small")
        self.summary.setContentsMargins(MARGIN, 0, MARGIN, 0)
        tiles = QVBoxLayout()
        tiles.setContentsMargins(MARGIN, 4, MARGIN, 0)
        tiles.addWidget(self.pictures)
        self.body.addWidget(self.facts)
        self.body.addLayout(tiles)
        self.body.addWidget(self.summary)

    def press(self) -> None:
        """Choose data; a preview that runs is no reason not to."""
        self._start()

    def show_running(self) -> None:
        """The button always chooses."""
        data = self.measurer.document.state.data
        self.start_button.setText("Change the data …" if data else self.verb)

    def show_state(self, state: State) -> None:
        """The data's name, how many examples it has, and what the network gets of them."""
        data = state.data
        if data is None:
            self.show_content(self.empty)
            return
        facts = [Fact("from", data_name(data.path), data.path)]
        seen = state.measured.preview
        if seen is not None and seen.data == data:
            facts += counts(seen)
        if data.limit:
            facts.append(Fact("used", f"the first {data.limit:,}"))
        fresh = seen is not None and seen.data == data
        self.pictures.setVisible(fresh)
        if seen is not None and fresh and seen is not self._seen:
            self._seen = seen
            self.pictures.show_items(seen.value.items, seen.value.classes)
        self.facts.show_facts(facts)
        self.summary.setText(data.summary)
        self.show_content("")


def counts(seen: Of[PreviewResult]) -> list[Fact]:
    """How many examples, classes and skipped files there are."""
    result = seen.value
    facts = []
    if result.count >= 0:
        facts.append(Fact("examples", f"{result.count:,}"))
    if result.classes:
        facts.append(Fact("classes", f"{len(result.classes):,}", ", ".join(result.classes[:40])))
    if result.skipped:
        facts.append(Fact("skipped", f"{len(result.skipped):,} files", "\n".join(result.skipped[:40])))
    return facts


def words_of(error: CompressorError) -> str:
    """An error as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:]
