"""A graph run part by part on the same examples, the values between the parts kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.graph import ModelGraph
from compressor_gui.engine.session import TF_ERRORS, LoadedGraph, failure

Feeds = Mapping[str, np.ndarray]


class Walk:
    """``stops``: the nodes whose first outputs may be kept, so that what lies behind them is not run again."""

    def __init__(self, graph: ModelGraph, feeds: Sequence[Feeds], where: str, stops: Iterable[str] = ()) -> None:
        self.graph = graph
        self.where = where
        self._feeds = feeds
        self._stops = frozenset(stops)
        self._kept: list[dict[str, np.ndarray]] = [{} for _ in feeds]
        self._loaded = LoadedGraph(pbio.to_bytes(graph), graph, where=where)

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *error: object) -> None:
        self._kept.clear()
        self._loaded.__exit__(*error)

    def __len__(self) -> int:
        """How many batches there are."""
        return len(self._feeds)

    def sources(self, names: Iterable[str]) -> frozenset[str]:
        """The stops that these nodes are computed from, or are."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in self._stops:
                found.add(name)
            elif name not in seen:
                seen.add(name)
                waiting += [ref.name for ref in self.graph[name].refs]
        return frozenset(found)

    def run(self, batch: int, names: Sequence[str], given: Feeds | None = None) -> list[np.ndarray]:
        """The first outputs of nodes for one batch, from what is kept and ``given`` (node -> value). Raises
        CompressorError."""
        kept = self._kept[batch]
        wanted = [name for name in names if name not in kept]
        behind = self.sources(ref.name for name in wanted for ref in self.graph[name].refs)
        needed = {name: kept[name] for name in behind if name in kept}
        feeds = {**self._feeds[batch], **needed, **(given or {})}
        try:
            values = self._loaded.run([f"{name}:0" for name in wanted], feeds) if wanted else []
        except TF_ERRORS as error:
            raise failure(error, "TensorFlow does not run the float graph on this data", self.where) from None
        found = dict(zip(wanted, values, strict=True))
        return [found[name] if name in found else kept[name] for name in names]

    def keep(self, batch: int, name: str, value: np.ndarray) -> None:
        """Keep the value of a stop."""
        self._kept[batch][name] = value

    def forget(self, names: Iterable[str]) -> None:
        """Give these values' memory back."""
        for name in names:
            for kept in self._kept:
                kept.pop(name, None)
