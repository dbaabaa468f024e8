"""Every pass on graphs of one, two and four times the nodes, and the bytes: a linear pass has ratios near 2.

The limit of a ratio is 3: a quadratic pass has 4.
"""

from __future__ import annotations

from collections.abc import Iterator

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import ALL, Pass, apply, make
from compressor_gui.core.pbio import read_graph
from tests.benchmarks.report import Row, main, median_seconds, model_file
from tests.benchmarks.synthetic import network


def chosen(transform: type[Pass], graph: ModelGraph) -> Pass:
    """The pass with parameters that give it work on this graph."""
    values = {
        "prune": {"sparsity": 0.8},
        "rename_outputs": {"names": {graph.outputs[0]: "renamed"}},
        "strip_unused_nodes": {},
    }
    return transform.from_values(values.get(transform.name, {}))


def rows() -> Iterator[Row]:
    """The time on a real model, then times and ratios of each pass."""
    graph = read_graph(model_file("blazepose-heavy", 1_075, 55))
    transform = make("quantize_nodes", {})
    yield Row("quantize_nodes, blazepose-heavy", median_seconds(lambda: apply(transform, graph), 3), limit=2)
    by_nodes = {scale: network(2_000 * scale, 4) for scale in (1, 2, 4)}
    by_bytes = {scale: network(400, 20 * scale) for scale in (1, 2, 4)}
    for kind in ALL:
        for axis, graphs in (("nodes", by_nodes), ("bytes", by_bytes)):
            previous = 0.0
            for scale, scaled in graphs.items():
                seconds = median_seconds(lambda kind=kind, scaled=scaled: apply(chosen(kind, scaled), scaled), 3)
                yield Row(f"{kind.name}, {scale} x {axis}", seconds)
                if previous:
                    yield Row(f"{kind.name}, {axis}: {scale} x / {scale // 2} x", seconds / previous, "times", 3)
                previous = seconds


if __name__ == "__main__":
    main("Passes", rows)
