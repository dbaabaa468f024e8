"""Accuracy in the measure panel: before and after, whether the difference is real, and which classes are confused."""

from __future__ import annotations

from compressor_gui.core import units
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import Evaluation
from compressor_gui.gui.inspector.section import Fact, Facts
from compressor_gui.gui.measure.confusion import Confusion
from compressor_gui.gui.measure.measured import Measured, Of
from compressor_gui.gui.measure.part import STALE, Part, dimmed
from compressor_gui.gui.measure.words import change, headline
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN
from compressor_gui.gui.widgets import label

_REAL = 0.05
"""A p-value below it is called a real difference."""
_LEARNED = "The recipe's weights have learned from some of these examples, so the accuracy on all of them says too much"


class AccuracyPart(Part):
    """The evaluation of the recipe, and those of other recipes beside it."""

    kind = "evaluate"
    verb = "Evaluate"
    empty = "Top-1 and top-5 of the original and of what the recipe makes of it, on the same examples."

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.facts = Facts(self.theme)
        self.confusion = Confusion(self.theme)
        self._earlier_title = label("Other recipes on this data", "small")
        self._earlier_title.setContentsMargins(MARGIN, 4, MARGIN, 0)
        self.earlier = Facts(self.theme)
        for widget in (self.facts, self.confusion, self._earlier_title, self.earlier):
            self.body.addWidget(widget)

    def show_state(self, state: State) -> None:
        """The evaluation of the recipe, or else the newest, and those of others."""
        shown = state.measured.evaluation(state.recipe, state.data)
        if shown is None:
            self.show_content(self.empty)
            return
        facts = evaluation_facts(shown.value)
        if state.measured.learned_from(shown.recipe, shown.data):
            facts.append(Fact("trained on", "some of these", _LEARNED, color="warning"))
        self.facts.show_facts(dimmed(facts, shown, state))
        pale = shown.is_stale(state.recipe, state.data)
        self.confusion.show_counts(shown.value.accuracy.confusion, shown.value.classes, pale)
        others = [one for one in state.measured.evaluations if one is not shown and one.data == shown.data]
        self.earlier.show_facts([short_fact(one, state.measured) for one in others])
        self._earlier_title.setVisible(bool(others))
        self.earlier.setVisible(bool(others))
        self.show_content("")


def evaluation_facts(result: Evaluation) -> list[Fact]:
    """An evaluation line by line."""
    after, before = result.accuracy, result.against
    facts = []
    if after.top1 is not None:
        facts.append(Fact("top-1", change(before, after, lambda a: a.top1, units.percent)))
    if after.top1_interval is not None:
        low, high = after.top1_interval
        words = "The 95 % Wilson interval: where the top-1 of all such data lies"
        facts.append(Fact("95 % interval", f"{low * 100:.1f} … {units.percent(high)}", words))
    if after.top5 is not None:
        facts.append(Fact("top-5", change(before, after, lambda a: a.top5, units.percent)))
    if after.loss is not None:
        facts.append(Fact("loss", change(before, after, lambda a: a.loss, units.number)))
    if result.mcnemar_p is not None:
        real = result.mcnemar_p < _REAL
        words = (
            "McNemar's exact test on the examples that only one of both gets right: how likely such a difference is "
            "by chance"
        )
        facts.append(Fact("difference", f"{'real' if real else 'may be chance'}, p = {result.mcnemar_p:.2g}", words))
    for fidelity in result.fidelity:
        check = fidelity.check
        name = f"{check.name} " if len(result.fidelity) > 1 else ""
        sqnr = "equal" if check.sqnr_db >= EXACT_DB else f"{check.sqnr_db:.1f} dB"
        facts.append(Fact(f"{name}SQNR", sqnr, f"Signal to noise of the output {check.name} against the original's"))
        if check.argmax_agreement is not None:
            facts.append(Fact(f"{name}same class", units.percent(check.argmax_agreement)))
        if fidelity.kl is not None:
            facts.append(Fact(f"{name}KL divergence", f"{fidelity.kl:.2g} nats"))
    facts.append(Fact("examples", f"{after.n:,} in {result.seconds:.1f} s"))
    if result.skipped:
        facts.append(Fact("skipped", f"{len(result.skipped):,} files", "\n".join(result.skipped[:40])))
    if result.left_out:
        facts.append(Fact("TensorFlow", "with less", result.left_out))
    return facts


def short_fact(one: Of[Evaluation], measured: Measured) -> Fact:
    """An evaluation in a line: its recipe and its result."""
    accuracy = one.value.accuracy
    value = units.percent(accuracy.top1) if accuracy.top1 is not None else headline(one.value)
    return Fact(measured.recipe_words(one.recipe), value, color=STALE if one.recipe is None else "")
