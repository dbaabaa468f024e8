"""The only mutable state of the application: what is open, the recipe, what it made, and what is selected.

:class:`.state.State` is immutable; ``Document.changed(old, new)`` is the one signal. A view that finds its slice of the
state identical (``old.x is new.x``) does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from compressor_gui.core import layers as core_layers
from compressor_gui.core.diff import Diff, diff_graphs
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.layers import Layer
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.regions import Region, regions
from compressor_gui.core.stats import Magnitudes, magnitudes
from compressor_gui.gui.background import Background, Superseded
from compressor_gui.gui.history import History
from compressor_gui.gui.state import Made, Source, State, View, load_source, make

REST = 120
"""Milliseconds without a frame after which what is dragged counts as resting."""


class Document(QObject):
    """Holds the state and does what the user asks; slow work runs in the background."""

    changed = Signal(object, object)
    failed = Signal(object)
    """A CompressorError to show."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = State()
        self.background = Background(self)
        self.drawing = Background(self)
        """Makes pictures, which must not wait behind a replay."""
        self._history = History()
        self._untold: list[tuple[State, State]] = []
        self._replayer: Replayer | None = None
        self._replaying = False
        self._counted: dict[str, Magnitudes] = {}
        """The tables of the source's layers."""
        self._resting = QTimer(self, singleShot=True, interval=REST)
        self._resting.timeout.connect(self._replay)

    def set(self, **changes: Any) -> None:
        """Change some fields of the state and tell the views."""
        self._become(replace(self.state, **changes))

    def _become(self, state: State) -> None:
        """Change the state and tell the views, one change after the other: a view that changes the state while it is
        being told of a change does not overtake it on its way to the others."""
        self._untold.append((self.state, state))
        self.state = state
        if len(self._untold) > 1:
            return
        while self._untold:
            self.changed.emit(*self._untold[0])
            del self._untold[0]

    # -- opening -------------------------------------------------------------------------------------------------

    def open(self, path: str | Path) -> None:
        """Open a model; on failure what was open stays open, and ``failed`` says why."""
        path = Path(path).absolute()
        self.set(loading=path.name, error=None)

        def done(source: Source) -> None:
            self._replayer = Replayer(source.graph)
            self._history = History((Recipe(sha256=source.sha256),))
            self._counted = {}
            self._become(State(source, self._history.current))
            self._count_magnitudes(source)
            self._replay()

        self.background.run(lambda: load_source(path), done, self._open_failed)

    def compare_with(self, path: str | Path | None) -> None:
        """Compare with a second file; None goes back to comparing with the recipe's result."""
        before = self.state.source
        if path is None or before is None:
            self.set(other=None, other_diff=None, other_regions=())
            return
        self.set(loading=Path(path).name, error=None)

        def work() -> tuple[Source, Diff, tuple[Region, ...]]:
            other = load_source(Path(path))
            return other, diff_graphs(before.graph, other.graph), regions(other.graph)

        def done(result: tuple[Source, Diff, tuple[Region, ...]]) -> None:
            if self.state.source is not before:  # another model was opened meanwhile
                self.compare_with(path)
                return
            other, diff, eight_bit = result
            self.set(other=other, other_diff=diff, other_regions=eight_bit, loading="", view="compare")

        self.background.run(work, done, self._open_failed)

    def _open_failed(self, error: Exception) -> None:
        self.set(loading="")
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, CompressorError):
            raise error
        self.set(error=error)
        self.failed.emit(error)

    def _count_magnitudes(self, source: Source) -> None:
        def work() -> dict[str, Magnitudes]:
            found = {}
            for layer in source.layers:
                if self.state.source is not source:
                    raise Superseded
                _ = layer.summary  # counted here, so that the window never has to
                if layer.tensor.dtype.is_floating:
                    found[layer.name] = Magnitudes.of(core_layers.layer_weights(source.graph, layer))
            return found

        def done(found: dict[str, Magnitudes]) -> None:
            self._counted = found
            self.set(magnitudes=self._moved_magnitudes(self.state.made))

        self.background.run(work, done, self._fail)

    def _moved_magnitudes(self, made: Made | None) -> dict[str, Magnitudes]:
        """The tables of the weights that the sliders move; none while the source's are still being counted."""
        if made is None or not self._counted or not made.bases.layers:
            return self._counted
        replaced = {name: magnitudes(base.layer.tensor) for name, base in made.bases.layers.items()}
        return {**self._counted, **replaced}

    # -- recipe and undo -----------------------------------------------------------------------------------------

    def set_recipe(self, recipe: Recipe, merge: str = "", **changes: Any) -> None:
        """Make ``recipe`` the current one, as a step that can be undone.

        Changes in a row with the same ``merge`` key (the frames of one drag) are one step; :meth:`end_merge` closes it.
        """
        if recipe == self.state.recipe:
            return
        self._go(self._history.changed(recipe, merge), **changes)

    def end_merge(self) -> None:
        """The next change is a step of its own; what a slider left in the recipe that does nothing goes."""
        history = self._history
        if history.merge and (tidy := self._without_idle_prunes()) != self.state.recipe:
            unmoved = history.before is not None and tidy == history.before.current
            self._go(history.taken_back() if unmoved else history.changed(tidy, history.merge))
        self._history = self._history.rested()
        if self._resting.isActive():
            self._resting.stop()
            self._replay()

    def undo(self) -> None:
        """Go one recipe back."""
        self._go(self._history.undone())

    def redo(self) -> None:
        """Go one recipe forward."""
        self._go(self._history.redone())

    def _go(self, history: History, **changes: Any) -> None:
        self._history, recipe = history, history.current
        if self.state.step is not None and self.state.step >= len(recipe.steps):
            changes.setdefault("step", None)
        self.set(recipe=recipe, can_undo=history.can_undo, can_redo=history.can_redo, error=None, **changes)
        if history.merge:
            self._resting.start()
        else:
            self._resting.stop()
            self._replay()

    def _replay(self) -> None:
        """Replay the newest recipe; one replay at a time, and one that was overtaken stops at its next step.

        While something is dragged, only once it rests: the replay's thread would take the frames' time.
        """
        if self._replaying or self._resting.isActive() or self._replayer is None or not self.state.stale:
            return
        source, recipe, replayer = self.state.source, self.state.recipe, self._replayer
        assert source is not None
        self._replaying = True

        def progress(_done: int, _total: int, _name: str) -> None:
            if self.state.source is not source:
                raise Superseded

        def work() -> Made | None:
            try:
                return make(replayer, recipe, progress)
            except Superseded:
                return None

        def done(made: Made | None) -> None:
            self._replaying = False
            if made is not None and self.state.source is source:
                self.set(made=made, magnitudes=self._moved_magnitudes(made))
            self._replay()

        def failed(error: Exception) -> None:
            self._replaying = False
            if self.state.recipe is not recipe:
                self._replay()
            elif self._history.can_undo:  # a change that can't be applied does not enter the recipe
                self._go(self._history.taken_back())
            self._fail(error)

        self.background.run(work, done, failed)

    # -- pruning by hand -----------------------------------------------------------------------------------------

    def base(self, layer: Layer) -> Layer:
        """A source layer as the step left it that last put other weights in place of its own."""
        found = self.state.made.bases.layers.get(layer.name) if self.state.made else None
        return found.layer if found else layer

    def prune_place(self, layer: Layer | None = None, recipe: Recipe | None = None) -> int:
        """From where on a prune step acts on the weights that a layer (None: every layer) ends with.

        That is behind the last step that puts others in their place, or the recipe's beginning.
        """
        bases = self.state.made.bases.layers if self.state.made else {}
        replacing = {base.step for name, base in bases.items() if layer is None or name == layer.name}
        steps = (recipe or self.state.recipe).steps
        return max((at + 1 for at, step in enumerate(steps) if step.enabled and step.transform in replacing), default=0)

    def prune_step(self, layer: Layer | None = None, recipe: Recipe | None = None) -> tuple[int, Prune] | None:
        """The active prune step that a layer's slider (None: that of all layers) moves, and its index."""
        recipe = recipe or self.state.recipe
        place = self.prune_place(layer, recipe)
        for index, step in enumerate(recipe.steps[place:], place):
            if isinstance(step.transform, Prune) and step.enabled:
                return index, step.transform
        return None

    def wanted_sparsity(self, layer: Layer) -> float:
        """The sparsity that the recipe asks of a source layer, where it can: at least what it has already."""
        found, base, made = self.prune_step(layer), self.base(layer), self.state.made
        stuck = made is not None and layer.name in made.bases.late
        if found is None or layer.name not in self.state.magnitudes or stuck:
            return base.sparsity
        return max(base.sparsity, found[1].wanted(base, self.state.magnitudes[layer.name]))

    def nonzeros(self) -> list[tuple[Layer, int]]:
        """The layers with their non-zero weights: counted in what was made, estimated while the recipe is ahead."""
        state = self.state
        if state.made is not None and not state.stale:
            return [(layer, layer.nonzero) for layer in state.made.layers]
        layers = state.source.layers if state.source else ()
        return [(layer, round(layer.parameters * (1 - self.wanted_sparsity(layer)))) for layer in layers]

    def prune_layer(self, layer: Layer, sparsity: float) -> None:
        """Move one layer's slider: that layer's entry in the prune step is replaced."""
        self.set_recipe(self._with_layer(self.state.recipe, layer, sparsity), f"prune {layer.name}")

    def prune_named(self, name: str, sparsity: float) -> None:
        """Select a source layer by name, and move its slider; nothing where it can't be pruned."""
        layers = self.state.source.layers if self.state.source else ()
        layer = next((layer for layer in layers if layer.name == name), None)
        if layer is not None and name in self.state.magnitudes:
            if all(self.state.selected != other for other in (name, layer.weight, *layer.users)):
                self.select(name)
            self.prune_layer(layer, sparsity)

    def prune_all(self, sparsity: float) -> None:
        """Move the slider of all layers: every layer gets the same sparsity, by one entry where one step can do it."""
        recipe, source = self.state.recipe, self.state.source
        layers = [layer for layer in source.layers if layer.name in self.state.magnitudes] if source else []
        if len({self.prune_place(layer) for layer in layers}) > 1:
            for layer in layers:
                recipe = self._with_layer(recipe, layer, sparsity)
        else:
            share = round(sparsity, 4)
            recipe = self._with_prune(
                recipe, None, lambda step: replace(step, sparsity=share, layers=(), thresholds=(), threshold=None)
            )
        self.set_recipe(recipe, "prune all")

    def reset_layer(self, layer: Layer) -> None:
        """Take back what the prune step does to a layer; a step with nothing left to do goes."""
        if self.prune_step(layer) is not None:
            self.end_merge()
            self.prune_layer(layer, 0.0)
            self.end_merge()

    def add_prune(self, step: Prune) -> None:
        """Add a prune step where the sliders move one, if there is none; others go to the end."""
        recipe = self.state.recipe
        at = self.prune_place() if self.prune_step() is None else len(recipe.steps)
        self.set_recipe(recipe.adding(step, at), step=at)

    def _with_layer(self, recipe: Recipe, layer: Layer, sparsity: float) -> Recipe:
        return self._with_prune(recipe, layer, lambda step: step.with_layer(self.base(layer), round(sparsity, 4)))

    def _with_prune(self, recipe: Recipe, layer: Layer | None, edit: Callable[[Prune], Prune]) -> Recipe:
        """Another recipe: the prune step of one layer, or of all, is changed or added."""
        found = self.prune_step(layer, recipe)
        if found is None:
            return recipe.adding(edit(Prune()), self.prune_place(layer, recipe))
        return recipe.replacing(found[0], replace(recipe.steps[found[0]], transform=edit(found[1])))

    def _without_idle_prunes(self) -> Recipe:
        """The recipe without what sliders that were pulled back left in it: entries and steps that prune nothing."""
        recipe, source = self.state.recipe, self.state.source
        moved: dict[int, list[Layer]] = {}
        for layer in source.layers if source else ():
            found = self.prune_step(layer)
            if found is not None and layer.name in self.state.magnitudes:
                moved.setdefault(found[0], []).append(layer)
        for index, layers in sorted(moved.items(), reverse=True):
            step = recipe.steps[index].transform
            assert isinstance(step, Prune)
            idle = [layer for layer in layers if self.wanted_sparsity(layer) <= self.base(layer).sparsity]
            if step.sparsity is None and step.threshold is None:
                for layer in idle:
                    step = step.without_layer(self.base(layer))
            if not step.asks or (len(idle) == len(layers) and not (step.layers or step.thresholds)):
                recipe = recipe.removing(index)
            elif step != recipe.steps[index].transform:
                recipe = recipe.replacing(index, replace(recipe.steps[index], transform=step))
        return recipe

    # -- looking -------------------------------------------------------------------------------------------------

    def select(self, node: str) -> None:
        """Select a node by name (empty: nothing)."""
        if node != self.state.selected:
            self.set(selected=node)

    def show(self, view: View) -> None:
        """Choose what the graph panel shows."""
        if view != self.state.view:
            self.set(view=view)

    def close(self) -> None:
        """Stop the background work."""
        self._resting.stop()
        self.background.close()
        self.drawing.close()
