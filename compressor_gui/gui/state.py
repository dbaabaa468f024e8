"""What the window shows, as immutable values: the open file, what a recipe made of it, what the user chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from compressor_gui.core import layers as core_layers
from compressor_gui.core import pbio
from compressor_gui.core.data import DataSpec
from compressor_gui.core.diff import Diff, diff_replay
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer
from compressor_gui.core.names import short_names
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.recipe import Recipe, Replay, Replayer, digest
from compressor_gui.core.regions import Region, regions
from compressor_gui.core.stats import Magnitudes
from compressor_gui.core.verify import verify
from compressor_gui.gui.bases import Bases, find_bases
from compressor_gui.gui.measure.measured import Measured

View = Literal["original", "compressed", "compare", "overlay"]


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
    bases: Bases
    """Which weights the sliders move."""
    regions: tuple[Region, ...]
    """The 8-bit regions, with the float islands that tear them apart."""

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
    other_regions: tuple[Region, ...] = ()
    magnitudes: Mapping[str, Magnitudes] = field(default_factory=dict)
    """Source layer's name -> the table of the magnitudes that its slider moves, once counted."""
    data: DataSpec | None = None
    """Where examples come from."""
    exported: Mapping[Path, tuple[int, int]] = field(default_factory=dict)
    """Files that were written for this model -> their size and time of change, by which later ones are told apart."""
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

    @property
    def regions(self) -> tuple[Region, ...]:
        """The 8-bit regions of the graph on the right of a comparison."""
        return self.other_regions if self.other else self.made.regions if self.made else ()


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
    replaced = [core_layers.find_layers(s.after) for s in replay.stages if isinstance(s.transform, Prune | Weights)]
    for layer in (*found, *chain.from_iterable(replaced)):
        _ = layer.summary  # counted here, so that the window never has to
    graphs = (replay.source, *(stage.after for stage in replay.stages))
    sizes = tuple(pbio.byte_size(graph) for graph in graphs)
    eight_bit = regions(replay.graph, replay.left)
    return Made(recipe, replay, found, sizes, diff_replay(replay), find_bases(replay), eight_bit)
