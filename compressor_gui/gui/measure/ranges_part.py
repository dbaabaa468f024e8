"""Stored ranges in the measure panel: where they come from, and the way to the calibration."""

from __future__ import annotations

from dataclasses import replace

from compressor_gui.core.measure import Calibration
from compressor_gui.core.passes.base import Pass
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.inspector.section import Fact, Facts
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.part import Part, dimmed
from compressor_gui.gui.state import State


class RangesPart(Part):
    """How many ranges were measured, and how many the recipe stores."""

    kind = "calibrate"
    verb = "Calibrate …"
    empty = (
        "8-bit operations find the range of every activation while they run. Ranges measured on examples and stored "
        "in the graph save that time."
    )

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.facts = Facts(self.theme)
        self.body.addWidget(self.facts)

    def press(self) -> None:
        """Open the calibration, which shows a run that is under way and cancels it."""
        self._start()

    def show_running(self) -> None:
        """The button always opens the calibration."""
        self.start_button.setText("Calibrating …" if self.is_running else self.verb)

    def show_state(self, state: State) -> None:
        """What was measured and what is stored."""
        found = state.measured.calibration
        stored = [s for s in state.recipe.active if isinstance(s, FreezeRequantizationRanges | FuseInt8) and s.ranges]
        if found is None and not stored:
            self.show_content(self.empty)
            return
        facts = []
        if found is not None:
            value = found.value
            facts = [
                Fact("measured", f"{len(value.ranges):,} ranges"),
                Fact("on", f"{value.n:,} examples in {value.seconds:.1f} s"),
            ]
            facts = dimmed(facts, of_model(found, state), state)
        for step in stored:
            note = state.measured.range_notes.get(step.ranges, "from a file")
            facts.append(Fact("in the recipe", f"{len(step.ranges):,} ranges, {note}"))
        self.facts.show_facts(facts)
        self.show_content("")


def of_model(found: Of[Calibration], state: State) -> Of[Calibration]:
    """The calibration as one of the present recipe, where only what storing ranges adds makes a difference."""
    assert found.recipe is not None
    same = _calibrated(found.recipe) == _calibrated(state.recipe)
    return replace(found, recipe=state.recipe) if same else found


def _calibrated(recipe: Recipe) -> tuple[Pass, ...]:
    """The passes whose ranges a calibration finds: none stored yet, and completed with quantize_nodes."""
    steps = [
        replace(step, ranges=()) if isinstance(step, FuseInt8) else step
        for step in recipe.active
        if not isinstance(step, FreezeRequantizationRanges)
    ]
    quantizes = any(isinstance(step, QuantizeNodes | FuseInt8) for step in steps)
    return (*steps, *(() if quantizes else (QuantizeNodes(),)))
