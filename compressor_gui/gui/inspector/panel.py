"""The inspector: facts, histogram, sensitivity, origin, neighbours, pictures and values of what is selected."""

from __future__ import annotations

from PySide6.QtCore import QSize, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

from compressor_gui.core import stats, units
from compressor_gui.core.layers import Layer
from compressor_gui.core.stats import Magnitudes, WeightSummary
from compressor_gui.gui.document import Document
from compressor_gui.gui.empty_page import EmptyPage
from compressor_gui.gui.inspector.histogram import Histogram, WeightHistogram
from compressor_gui.gui.inspector.later import Later
from compressor_gui.gui.inspector.node_facts import NodeFacts
from compressor_gui.gui.inspector.pictures import WeightPicture, picture_of
from compressor_gui.gui.inspector.section import Facts, Section
from compressor_gui.gui.inspector.sensitivity import SensitivityPlot
from compressor_gui.gui.inspector.subject import Subject, subject_of
from compressor_gui.gui.inspector.values import Values, array_of
from compressor_gui.gui.inspector.weight_facts import history, layer_facts, noise_facts, tensor_facts
from compressor_gui.gui.layer_row import why_locked
from compressor_gui.gui.sparsity_slider import snapped
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN, UNIT, Theme
from compressor_gui.gui.widgets import ElidedLabel, label, scroll_area


class Inspector(QWidget):
    """Everything about the selected node. ``exported(path)``: values were written to a file."""

    exported = Signal(object)

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("inspector")
        self.setMinimumWidth(316)
        self._document = document
        self._later = Later(document.background)
        self._counted: tuple[Layer, WeightSummary] | None = None
        self.subject: Subject | None = None

        self.name = ElidedLabel()
        self.name.setProperty("role", "heading")
        self.shape = label("", "small")
        self.facts = Facts(theme)
        self.noise = Facts(theme)
        self.histogram = WeightHistogram(theme)
        self.sensitivity = SensitivityPlot(theme, self._later)
        self.origins = Facts(theme, quiet_values=True)
        self.node = NodeFacts(theme)
        self.picture = WeightPicture(theme)
        self.values = Values(document.background)
        self.sections = {
            "histogram": Section("Histogram", theme, self.histogram),
            "sensitivity": Section("Sensitivity", theme, self.sensitivity),
            "origins": Section("Came from", theme, self.origins),
            "node": Section("Node", theme, self.node),
            "picture": Section("Picture", theme, self.picture, is_open=False),
            "values": Section("Values", theme, self.values, is_open=False),
        }
        for section, plot in (("histogram", self.histogram), ("sensitivity", self.sensitivity)):
            for button in plot.toggles:
                self.sections[section].add_tool(button)
        self._versions = (label("", "small"), label("", "small"))
        for key, note in zip(("picture", "values"), self._versions, strict=True):
            self.sections[key].add_tool(note)
        self._build()

        self.histogram.threshold_moved.connect(self._threshold_moved)
        self.sensitivity.sparsity_chosen.connect(document.prune_named)
        for part in (self.histogram, self.sensitivity):
            part.rested.connect(document.end_merge)
        self.node.chosen.connect(document.select)
        self.values.failed.connect(document.failed)
        self.values.written.connect(self.exported)
        for key in ("histogram", "picture", "values"):
            self.sections[key].opened.connect(self._show_heavy)
        document.changed.connect(self._changed)
        self._show_subject()

    def _build(self) -> None:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, UNIT * 2, 0, UNIT * 2)
        column.setSpacing(UNIT)
        top = QHBoxLayout()
        top.setContentsMargins(MARGIN, UNIT, MARGIN, UNIT)
        top.setSpacing(UNIT * 2)
        top.addWidget(self.name, 1)
        top.addWidget(self.shape)
        column.addLayout(top)
        column.addWidget(self.facts)
        column.addWidget(self.noise)
        for section in self.sections.values():
            column.addWidget(section)
        column.addStretch()
        scroll = scroll_area(page)
        self._stack = QStackedLayout(self)
        self.empty = EmptyPage("Inspector", offers_model=False)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(scroll)
        self._scroll = scroll

    def sizeHint(self) -> QSize:
        """The drawing's width."""
        return QSize(340, 640)

    def show_section(self, key: str) -> None:
        """Unfold a section and bring it into view."""
        section = self.sections[key]
        section.head.setChecked(True)
        QTimer.singleShot(0, section, lambda: self._scroll.ensureWidgetVisible(section, 0, 0))  # once it is laid out

    # -- what the user does --------------------------------------------------------------------------------------

    def _threshold_moved(self, threshold: float) -> None:
        table = self._table()
        if table is not None:
            self._prune(snapped(table.sparsity_at(threshold), QGuiApplication.keyboardModifiers()))

    def _prune(self, sparsity: float) -> None:
        if self.subject is not None and self.subject.layer is not None:
            self._document.prune_layer(self.subject.layer, sparsity)

    # -- what the document says ----------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        slices = (
            old.source is not new.source, old.made is not new.made, old.other is not new.other,
            old.selected != new.selected, old.view != new.view,
        )  # fmt: skip
        if any(slices):
            self._show_subject()
        elif old.measured.noises is not new.measured.noises or old.data is not new.data:
            self._show_noise()
        elif old.magnitudes is not new.magnitudes or old.measured.sweep is not new.measured.sweep:
            self._show_layer()
        elif old.recipe is not new.recipe:
            self._show_amounts()
            self._show_noise()

    def _table(self) -> Magnitudes | None:
        layer = self.subject.layer if self.subject else None
        return self._document.state.magnitudes.get(layer.name) if layer else None

    def _wanted(self) -> float | None:
        """The sparsity that the recipe asks of the layer; None where it can't be pruned or nothing is counted yet."""
        layer, table = (self.subject.layer if self.subject else None), self._table()
        if layer is None or table is None or why_locked(layer, self._document.state):
            return None
        return self._document.wanted_sparsity(layer)

    def _show_subject(self) -> None:
        state = self._document.state
        self.subject = subject = subject_of(state)
        self._stack.setCurrentIndex(0 if subject is None else 1)
        if subject is None:
            self.empty.text.setText(
                "Select a layer in the table or a node in the graph: what it is, and its weights, stand here."
                if state.source
                else "What a layer or a node is, and its weights, stand here once a model is open."
            )
            for kind in ("histogram", "histogram after", "picture", "summary"):
                self._later.forget(kind)
            return
        self.name.set_whole(subject.short.upper())
        self.name.setToolTip(subject.name)
        tensor = subject.tensor
        self.shape.setText(units.shape(tensor.array.shape) if tensor is not None else subject.node.op)
        graph = state.after if subject.after is not None and state.after is not None else None
        self.node.show_node(subject, graph or state.source.graph)  # type: ignore[union-attr]
        origins = history(state, subject)
        self.origins.show_facts(origins)
        self.sections["origins"].setVisible(bool(origins))
        has_values = tensor is not None or subject.tensor_after is not None
        numeric = has_values and (tensor or subject.tensor_after).array.dtype.kind not in "OSU"  # type: ignore[union-attr]
        self.sections["histogram"].setVisible(numeric and (tensor or subject.tensor_after).array.size > 1)  # type: ignore
        self.sections["values"].setVisible(has_values)
        self.sections["picture"].setVisible(subject.layer is not None)
        self._show_version(subject)
        self._show_layer()
        self._show_noise()
        self._show_heavy()

    def _show_noise(self) -> None:
        """What the compression does to the values of the layer, where that was measured."""
        self.noise.show_facts(noise_facts(self._document.state, self.subject) if self.subject is not None else [])

    def _show_layer(self) -> None:
        """Curves, and what does not wait for the weights to be counted."""
        layer, table = (self.subject.layer if self.subject else None), self._table()
        self.sections["sensitivity"].setVisible(table is not None)
        source = self._document.state.source
        if layer is not None and table is not None and source is not None:
            sweep = self._document.state.measured.sweep
            curves = sweep.value if sweep else None
            self.sensitivity.show_layer(layer.name, self._document.state.magnitudes, source.short, curves)
        if layer is not None:
            self._later.ask(layer, "summary", lambda: layer.summary, lambda counted: self._show_counted(layer, counted))
        elif self.subject is not None:
            self._show_constant()
        self._show_amounts()
        if self.sections["histogram"].is_open:
            self._show_histogram()

    def _show_counted(self, layer: Layer, counted: WeightSummary) -> None:
        self._counted = (layer, counted)
        self._show_amounts()

    def _show_amounts(self) -> None:
        """What a slider moves: facts, and the lines in the plots."""
        subject = self.subject
        if subject is None or subject.layer is None:
            self.histogram.show_threshold(None)
            return
        layer, parts, table, wanted = subject.layer, subject.parts, self._table(), self._wanted()
        exact = not self._document.state.stale and bool(parts)
        counted = self._counted[1] if self._counted is not None and self._counted[0] is layer else None
        self.facts.show_facts(layer_facts(layer, parts, counted, table, wanted, exact))
        self.histogram.show_threshold(table.threshold_for(wanted) if table and wanted is not None else None)
        self.sensitivity.show_sparsity(wanted)

    def _show_constant(self) -> None:
        """Facts of a constant that is no layer's weight; of other nodes there are none beside the node's own."""
        assert self.subject is not None
        tensor, role = self.subject.tensor, self.subject.role
        if tensor is None:
            self.facts.show_facts([])
            return
        self.facts.show_facts(tensor_facts(tensor, None, role))
        if tensor.array.size and tensor.array.dtype.kind != "O":
            self._later.ask(
                tensor,
                "summary",
                lambda: stats.summary(tensor),
                lambda counted: self.facts.show_facts(tensor_facts(tensor, counted, role)),
            )

    # -- what takes time -----------------------------------------------------------------------------------------

    def _show_heavy(self) -> None:
        """Fill the sections that are open."""
        if self.subject is None:
            return
        if self.sections["histogram"].is_open:
            self._show_histogram()
        if self.sections["picture"].is_open:
            self._show_picture()
        if self.sections["values"].is_open:
            self._show_values()

    def _show_histogram(self) -> None:
        subject = self.subject
        tensor = subject.tensor if subject else None
        if subject is None or tensor is None or tensor.array.dtype.kind == "O":
            self.histogram.show_weights(None, None)
            return
        layer, table = self._document.base(subject.layer) if subject.layer else None, self._table()
        self._later.ask(
            layer.tensor if layer else tensor,
            "histogram",
            lambda: Histogram.of(layer.weights if layer else tensor.array),
            lambda plain: self._show_bars(subject, plain, table),
        )

    def _show_bars(self, subject: Subject, plain: Histogram, table: Magnitudes | None) -> None:
        if subject is not self.subject:
            return
        self.histogram.show_weights(plain, table)
        after, tensor = subject.layer_after, subject.tensor_after
        if self._document.state.view not in ("compare", "overlay") or tensor is None or tensor is subject.tensor:
            self._later.forget("histogram after")
            return
        self._later.ask(
            tensor,
            "histogram after",
            lambda: Histogram.of_nonzero(after.weights if after else tensor.array, plain.span),
            self.histogram.show_after,
        )

    def _show_picture(self) -> None:
        subject = self.subject
        if subject is None or subject.layer is None:
            return
        layer = subject.layer_after if self._shows_result() and subject.layer_after else subject.layer
        self._later.ask(layer.tensor, "picture", lambda: picture_of(layer), self.picture.show_picture)

    def _show_values(self) -> None:
        subject = self.subject
        if subject is None:
            return
        tensor = (subject.tensor_after if self._shows_result() else None) or subject.tensor or subject.tensor_after
        self.values.show_values(subject.short, array_of(tensor) if tensor is not None else None)

    def _shows_result(self) -> bool:
        """Whether pictures and values are those of the compressed weight: unless the graph shows the original."""
        return self._document.state.view != "original"

    def _show_version(self, subject: Subject) -> None:
        """Say which weight it is, where there are two."""
        both = subject.tensor_after is not None and subject.tensor_after is not subject.tensor
        for note in self._versions:
            note.setText(("compressed" if self._shows_result() else "original") if both else "")
