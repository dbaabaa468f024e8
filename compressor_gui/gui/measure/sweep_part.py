"""Sensitivity in the measure panel: the curves of all layers while they are measured, and the way to a suggestion."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QPushButton

from compressor_gui.core.layers import Layer
from compressor_gui.gui.inspector.later import Later
from compressor_gui.gui.inspector.sensitivity import SensitivityPlot
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.measure.part import Part
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN, Theme
from compressor_gui.gui.widgets import paragraph


class SweepPart(Part):
    """All layers in one plot; the one that is selected is strong."""

    kind = "sensitivity"
    verb = "Measure"
    empty = "How much accuracy each layer costs at each sparsity and number of bits, all other layers untouched."

    def __init__(
        self, measurer: Measurer, theme: Theme, start: Callable[[], None], suggest: Callable[[], None]
    ) -> None:
        super().__init__(measurer, theme, start)
        self.plot = SensitivityPlot(theme, Later(measurer.document.background), 200)
        self.plot.everyone.setChecked(True)
        self.plot.sparsity_chosen.connect(measurer.document.prune_named)
        self.plot.rested.connect(measurer.document.end_merge)
        self.progress = paragraph("", "small")
        self.progress.setContentsMargins(MARGIN, 0, MARGIN, 0)
        self.body.addWidget(self.plot)
        self.body.addWidget(self.progress)
        self.suggest_button: QPushButton = self.add_button(
            "Suggest …", suggest, "Sparsities of all layers that meet a size, a sparsity or a loss"
        )
        self.suggest_button.hide()

    def start_words(self) -> str:
        """``Resume`` where a sweep was broken off."""
        state = self.measurer.document.state
        sweep = state.measured.sweep
        if sweep is None or sweep.is_stale(state.recipe, state.data):
            return self.verb
        return "Measure again" if sweep.value.finished else "Resume"

    def changed(self, old: State, new: State) -> bool:
        """The selection and the sliders move lines in the plot."""
        same = old.measured.sweep is new.measured.sweep and old.data is new.data and old.recipe is new.recipe
        return not same or old.selected != new.selected or old.magnitudes is not new.magnitudes

    def show_state(self, state: State) -> None:
        """The curves, the line of the layer that is selected, and how far the sweep is."""
        sweep, source = state.measured.sweep, state.source
        self.plot.bits.setVisible(sweep is not None)
        self.suggest_button.setVisible(sweep is not None and bool(sweep.value.curves))
        if sweep is None or source is None:
            self.show_content(self.empty)
            return
        layer = selected_layer(state)
        self.plot.show_layer(layer.name if layer else "", state.magnitudes, source.short, sweep.value)
        known = layer is not None and layer.name in state.magnitudes
        self.plot.show_sparsity(self.measurer.document.wanted_sparsity(layer) if known and layer else None)
        self.progress.setText(self._progress_words(state))
        self.show_content("")

    def show_running(self) -> None:
        """The line below the plot tells a sweep that runs from one that was broken off."""
        super().show_running()
        self.progress.setText(self._progress_words(self.measurer.document.state))

    def _progress_words(self, state: State) -> str:
        sweep = state.measured.sweep
        if sweep is None:
            return ""
        done, stale = sweep.value.finished, sweep.is_stale(state.recipe, state.data)
        begun = f"{len(sweep.value.curves)} of {sweep.value.layers} layers begun"
        if self.is_running:
            return f"Measuring: {begun}"
        if done is None:
            return f"Broken off: {begun}. Nothing is measured twice."
        words = [f"{done.n:,} examples, {done.seconds:.1f} s"]
        words += [f"{done.reused:,} points were known already"] if done.reused else []
        words += ["measured on other data than is chosen now"] if stale else []
        return " · ".join((*words, *done.notes, *filter(None, [done.left_out])))


def selected_layer(state: State) -> Layer | None:
    """The source's layer that the selected node belongs to."""
    layers = state.source.layers if state.source else ()
    return next((layer for layer in layers if state.selected and state.selected in layer.names), None)
