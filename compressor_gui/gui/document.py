"""The only mutable state of the application: what is open, the recipe, what it made, and what is selected.

``State`` is immutable; ``Document.changed(old, new)`` is the one signal. A view that finds its slice of the state
identical (``old.x is new.x``) does nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PySide6.QtCore import QObject, QTimer, Signal

from compressor_gui.core import layers as core_layers
from compressor_gui.core import pbio
from compressor_gui.core.data import DataSpec
from compressor_gui.core.diff import Diff, diff_graphs, diff_replay
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer
from compressor_gui.core.names import short_names
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.recipe import Recipe, Replay, Replayer, digest
from compressor_gui.core.stats import Magnitudes
from compressor_gui.core.verify import verify
from compressor_gui.gui.background import Background, Superseded
from compressor_gui.gui.measure.measured import Measured

View = Literal["original", "compressed", "compare", "overlay"]
REST = 120
"""Milliseconds without a frame after which what is dragged counts as resting."""


@dataclass(frozen=True, eq=False)
class Source:
    """A file that was opened: its path, digest, size in bytes, graph and weighted layers."""

    path: Path
    sha256: str
    size: int
    graph: ModelGraph
    layers: tuple[Layer, ...]
    short: Mapping[str, str]
    """Layer name -> the name that is shown."""


@dataclass(frozen=True, eq=False)
class Made:
    """What a recipe made of the source: the replay, its layers, size in bytes and difference."""

    recipe: Recipe
    replay: Replay
    layers: tuple[Layer, ...]
    sizes: tuple[int, ...]
    """Bytes of the source graph and of the graph behind each stage."""
    diff: Diff
    late: Mapping[str, str]
    """Source layers that the prune step finds in 8 bits already -> the sentence that says so."""

    @property
    def size(self) -> int:
        """Bytes of the compressed file."""
        return self.sizes[-1]

    @property
    def graph(self) -> ModelGraph:
        """The compressed graph."""
        return self.replay.graph


@dataclass(frozen=True, eq=False)
class State:
    """Everything that the window shows."""

    source: Source | None = None
    recipe: Recipe = field(default_factory=Recipe)
    made: Made | None = None
    other: Source | None = None
    """A second file to compare with instead of the recipe's result."""
    other_diff: Diff | None = None
    magnitudes: Mapping[str, Magnitudes] = field(default_factory=dict)
    """Layer name -> its table of magnitudes, once counted."""
    data: DataSpec | None = None
    """Where examples come from."""
    measured: Measured = field(default_factory=Measured)
    selected: str = ""
    """The selected node's name, in the original or the compressed graph."""
    step: int | None = None
    """The recipe's step that is selected."""
    view: View = "original"
    loading: str = ""
    """The file being opened."""
    error: CompressorError | None = None
    can_undo: bool = False
    can_redo: bool = False

    @property
    def stale(self) -> bool:
        """Whether the recipe has changed since ``made``."""
        return self.source is not None and (self.made is None or self.made.recipe != self.recipe)

    @property
    def after(self) -> ModelGraph | None:
        """The graph on the right of a comparison."""
        return self.other.graph if self.other else self.made.graph if self.made else None

    @property
    def diff(self) -> Diff | None:
        """The difference between the graphs compared."""
        return self.other_diff if self.other else self.made.diff if self.made else None


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
        self._history: tuple[Recipe, ...] = (Recipe(),)
        self._cursor = 0
        self._merge = ""
        self._replayer: Replayer | None = None
        self._replaying = False
        self._resting = QTimer(self, singleShot=True, interval=REST)
        self._resting.timeout.connect(self._replay)

    def set(self, **changes: Any) -> None:
        """Change some fields of the state and tell the views."""
        old = self.state
        self.state = dataclasses.replace(old, **changes)
        self.changed.emit(old, self.state)

    # -- opening -------------------------------------------------------------------------------------------------

    def open(self, path: str | Path) -> None:
        """Open a model; on failure what was open stays open, and ``failed`` says why."""
        path = Path(path).absolute()
        self.set(loading=path.name, error=None)

        def done(source: Source) -> None:
            self._replayer = Replayer(source.graph)
            self._history, self._cursor, self._merge = (Recipe(sha256=source.sha256),), 0, ""
            old, self.state = self.state, State(source, self._history[0])
            self.changed.emit(old, self.state)
            self._count_magnitudes(source)
            self._replay()

        self.background.run(lambda: load_source(path), done, self._open_failed)

    def compare_with(self, path: str | Path | None) -> None:
        """Compare with a second file; None goes back to comparing with the recipe's result."""
        before = self.state.source
        if path is None or before is None:
            self.set(other=None, other_diff=None)
            return
        self.set(loading=Path(path).name, error=None)

        def work() -> tuple[Source, Diff]:
            other = load_source(Path(path))
            return other, diff_graphs(before.graph, other.graph)

        def done(result: tuple[Source, Diff]) -> None:
            self.set(other=result[0], other_diff=result[1], loading="", view="compare")

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

        self.background.run(work, lambda found: self.set(magnitudes=found), self._fail)

    # -- recipe and undo -----------------------------------------------------------------------------------------

    def set_recipe(self, recipe: Recipe, merge: str = "", **changes: Any) -> None:
        """Make ``recipe`` the current one, as a step that can be undone.

        Changes in a row with the same ``merge`` key (the frames of one drag) are one step; :meth:`end_merge` closes it.
        """
        if recipe == self.state.recipe:
            return
        if not (merge and merge == self._merge):
            self._cursor += 1
        self._history = (*self._history[: self._cursor], recipe)
        self._merge = merge
        self._go(recipe, **changes)

    def end_merge(self) -> None:
        """The next change is a step of its own."""
        self._merge = ""
        if self._resting.isActive():
            self._resting.stop()
            self._replay()

    def undo(self) -> None:
        """Go one recipe back."""
        if self._cursor > 0:
            self._cursor -= 1
            self._merge = ""
            self._go(self._history[self._cursor])

    def redo(self) -> None:
        """Go one recipe forward."""
        if self._cursor + 1 < len(self._history):
            self._cursor += 1
            self._merge = ""
            self._go(self._history[self._cursor])

    def _go(self, recipe: Recipe, **changes: Any) -> None:
        if self.state.step is not None and self.state.step >= len(recipe.steps):
            changes.setdefault("step", None)
        undo, redo = self._cursor > 0, self._cursor + 1 < len(self._history)
        self.set(recipe=recipe, can_undo=undo, can_redo=redo, error=None, **changes)
        if self._merge:
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
                self.set(made=made)
            self._replay()

        def failed(error: Exception) -> None:
            self._replaying = False
            if self.state.recipe is recipe and isinstance(error, CompressorError) and self._cursor > 0:
                self._cursor -= 1  # a step that can't be applied does not enter the recipe
                self._history = self._history[: self._cursor + 1]
                self._merge = ""
                self._go(self._history[self._cursor])
            else:
                self._replay()
            self._fail(error)

        self.background.run(work, done, failed)

    # -- pruning by hand -----------------------------------------------------------------------------------------

    def prune_step(self) -> tuple[int, Prune] | None:
        """The recipe's first active prune step, which the sliders move, and its index."""
        for index, step in enumerate(self.state.recipe.steps):
            if isinstance(step.transform, Prune) and step.enabled:
                return index, step.transform
        return None

    def wanted_sparsity(self, layer: Layer) -> float:
        """The sparsity that the recipe asks of a source layer, where it can: at least what it has already."""
        found, made = self.prune_step(), self.state.made
        if found is None or layer.name not in self.state.magnitudes or (made is not None and layer.name in made.late):
            return layer.sparsity
        return max(layer.sparsity, found[1].wanted(layer, self.state.magnitudes[layer.name]))

    def nonzeros(self) -> list[tuple[Layer, int]]:
        """The layers with their non-zero weights: counted in what was made, estimated while the recipe is ahead."""
        state = self.state
        if state.made is not None and not state.stale:
            return [(layer, layer.nonzero) for layer in state.made.layers]
        layers = state.source.layers if state.source else ()
        return [(layer, round(layer.parameters * (1 - self.wanted_sparsity(layer)))) for layer in layers]

    def prune_layer(self, layer: Layer, sparsity: float) -> None:
        """Move one layer's slider: that layer's entry in the prune step is replaced."""
        self._edit_prune(lambda step: step.with_layer(layer, round(sparsity, 4)), f"prune {layer.name}")

    def prune_named(self, name: str, sparsity: float) -> None:
        """Select a source layer by name, and move its slider; nothing where it can't be pruned."""
        layers = self.state.source.layers if self.state.source else ()
        layer = next((layer for layer in layers if layer.name == name), None)
        if layer is not None and name in self.state.magnitudes:
            if all(self.state.selected != other for other in (name, layer.weight, *layer.users)):
                self.select(name)
            self.prune_layer(layer, sparsity)

    def prune_all(self, sparsity: float) -> None:
        """Move the slider of all layers: every layer gets the same sparsity."""
        self._edit_prune(lambda step: dataclasses.replace(step, sparsity=round(sparsity, 4), layers=(), thresholds=(),
                                                          threshold=None), "prune all")  # fmt: skip

    def reset_layer(self, layer: Layer) -> None:
        """Take back what the prune step does to a layer; a step with nothing left to do goes."""
        found = self.prune_step()
        if found is None:
            return
        index, step = found
        bare = dataclasses.replace(
            step,
            layers=tuple(pair for pair in step.layers if pair[0] not in layer.names),
            thresholds=tuple(pair for pair in step.thresholds if pair[0] not in layer.names),
        )
        if bare.sparsity is not None or bare.threshold is not None:
            self.prune_layer(layer, 0.0)
            self.end_merge()
        elif bare.layers or bare.thresholds:
            recipe = self.state.recipe
            self.set_recipe(recipe.replacing(index, dataclasses.replace(recipe.steps[index], transform=bare)))
        else:
            self.set_recipe(self.state.recipe.removing(index))

    def add_prune(self, step: Prune) -> None:
        """Add the prune step before all others, for the sliders show the source's weights; others go to the end."""
        recipe = self.state.recipe
        at = 0 if self.prune_step() is None else len(recipe.steps)
        self.set_recipe(recipe.adding(step, at), step=at)

    def _edit_prune(self, edit: Callable[[Prune], Prune], merge: str) -> None:
        found = self.prune_step()
        recipe = self.state.recipe
        if found is None:
            self.set_recipe(recipe.adding(edit(Prune()), 0), merge)
        else:
            index, step = found
            self.set_recipe(
                recipe.replacing(index, dataclasses.replace(recipe.steps[index], transform=edit(step))), merge
            )

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


def load_source(path: Path) -> Source:
    """Read, verify and describe a file. Raises CompressorError."""
    data = pbio.read_bytes(path)
    graph = pbio.parse_graph(data, where=str(path))
    verify(graph)
    found = core_layers.find_layers(graph)
    return Source(path, digest(data), len(data), graph, found, short_names(layer.name for layer in found))


def make(replayer: Replayer, recipe: Recipe, progress: Callable[[int, int, str], None] | None = None) -> Made:
    """Replay a recipe and describe the result. Raises RecipeError."""
    replay = replayer.replay(recipe, progress)
    found = core_layers.find_layers(replay.graph)
    for layer in found:
        _ = layer.summary  # counted here, so that the window never has to
    graphs = (replay.source, *(stage.after for stage in replay.stages))
    sizes = tuple(pbio.byte_size(graph) for graph in graphs)
    return Made(recipe, replay, found, sizes, diff_replay(replay), late_layers(replay))


def late_layers(replay: Replay) -> dict[str, str]:
    """Source layers that stand in 8 bits where the first prune step comes, which leaves them alone, and why."""
    place = next((at for at, stage in enumerate(replay.stages) if isinstance(stage.transform, Prune)), 0)
    earlier, prune = replay.stages[:place], replay.stages[place : place + 1]
    stored = [layer for layer in core_layers.find_layers(prune[0].before) if layer.dequantizer] if earlier else []
    by_weight = {layer.weight: layer for layer in core_layers.find_layers(replay.source)} if stored else {}
    late = {}
    for layer in stored:
        names, by = {layer.weight}, earlier[0]
        for stage in reversed(earlier):
            if names & stage.result.origins.keys():
                by = stage
            names = {origin for name in names for origin in stage.result.origins.get(name, (name,))}
        for source in (by_weight[name] for name in names & by_weight.keys()):
            if source.dequantizer is None:
                late[source.name] = (
                    f"It can't be pruned there: step {by.index + 1}, {by.transform.name}, stores it in 8 bits "
                    f"before step {prune[0].index + 1}, prune. Move prune before it"
                )
    return late
