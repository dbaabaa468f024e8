"""A model by its path and recipe, replayed here and loaded in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.recipe import Recipe, Replay, Replayer, digest
from compressor_gui.core.trust import refuse_untrusted
from compressor_gui.engine.inputs import guesses, has_unknowns, make_feeds
from compressor_gui.engine.registry import refuse_lacking
from compressor_gui.engine.session import HOPELESS, TF_ERRORS, LoadedGraph


@dataclass(frozen=True, eq=False)
class Model:
    """A graph as the core reads it, loaded in TensorFlow. ``outputs`` are those asked for, under their new names."""

    ref: ModelRef
    graph: ModelGraph
    loaded: LoadedGraph

    @property
    def outputs(self) -> tuple[str, ...]:
        """The nodes that the model computes."""
        return self.graph.outputs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.loaded.__exit__(*error)


def read_model(ref: ModelRef) -> ModelGraph:
    """The graph that the recipe makes of the file. Raises CompressorError, for ops that may do harm too."""
    return replay_model(ref).graph


def replay_model(ref: ModelRef) -> Replay:
    """The recipe, replayed on the file. Raises CompressorError as :func:`read_model` does.

    What is looked through is what will run, as a recipe can make any op of any other.
    """
    data = read_unchanged(ref.path, ref.sha256)
    graph = pbio.parse_graph(data, where=ref.path, outputs=ref.outputs or None)
    missing = [name for name in ref.outputs if name not in graph]
    if missing:
        raise CompressorError(f"its output {missing[0]!r} is missing", where=ref.path)
    replay = Replayer(graph).replay(Recipe.from_json(ref.recipe)) if ref.recipe else Replay(graph)
    refuse_unless_allowed(ref, replay.graph)
    return replay


def read_unchanged(path: str, sha256: str) -> bytes:
    """A file's bytes. Raises CompressorError where it can't be read, or ``sha256`` is that of another (empty: none)."""
    data = pbio.read_bytes(path)
    if sha256 and digest(data) != sha256:
        raise CompressorError("the file has changed since it was opened", where=path, hint="open it again")
    return data


def refuse_unless_allowed(ref: ModelRef, graph: ModelGraph) -> None:
    """Raise CompressorError where ``graph``, made of ``ref``, may do more than compute and nobody allowed it."""
    if not ref.allow_unsafe_ops:
        refuse_untrusted(graph, ref.path)


def load_model(ref: ModelRef) -> Model:
    """Read, replay and load a model. Raises CompressorError where it can't be read, is refused or does not load, or
    TensorFlow lacks a kernel that its 8-bit operations need."""
    graph = read_model(ref)
    refuse_lacking(graph, ref.path)
    return Model(ref, graph, LoadedGraph(pbio.to_bytes(graph), graph, where=ref.path))


@dataclass(frozen=True)
class SentModel:
    """A model as it travels to other processes, with the bytes of the file that the recipe makes: a worker on another
    machine need not have the file."""

    ref: ModelRef
    data: bytes
    outputs: tuple[str, ...]

    @staticmethod
    def of(ref: ModelRef) -> SentModel:
        """Read and replay. Raises CompressorError."""
        graph = read_model(ref)
        return SentModel(ref, pbio.to_bytes(graph), graph.outputs)

    @property
    def graph(self) -> ModelGraph:
        """The graph in ``data``."""
        return pbio.parse_graph(self.data, where=self.ref.path, outputs=self.outputs)

    def load(self) -> Model:
        """Raises CompressorError where it is refused, here or by TensorFlow."""
        graph = self.graph
        refuse_unless_allowed(self.ref, graph)
        return Model(self.ref, graph, LoadedGraph(self.data, graph, where=self.ref.path))


def runnable_feeds(
    graph: ModelGraph, run: Callable[[dict[str, np.ndarray]], object], *, seed: int = 0, batch: int = 1
) -> dict[str, np.ndarray]:
    """The first inputs that ``run`` can stand. Raises what it raised for the likeliest ones where it stands none."""
    first: Exception | None = None
    for guess in guesses():
        feeds = make_feeds(graph, replace(guess, batch=batch), seed)
        try:
            run(feeds)
        except TF_ERRORS as error:
            first = first or error
            if isinstance(error, HOPELESS) or not has_unknowns(graph):
                break
        else:
            return feeds
    assert first is not None
    raise first
