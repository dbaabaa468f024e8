"""Every pass on graphs of one, two and four times the nodes, and the bytes.

A linear pass takes four times as long for four times as much; the limit is 6, and a quadratic one would have 16.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import ALL, Pass, apply, make
from compressor_gui.core.pbio import read_graph
from tests.benchmarks.report import Row, main, median_seconds, medians, model_file
from tests.benchmarks.synthetic import network

VALUES: dict[str, dict[str, Any]] = {
    "prune": {"sparsity": 0.8},
    "rename_op": {"old_op_name": "Relu", "new_op_name": "Elu"},
    "rename_attribute": {"old_attribute_name": "data_format", "new_attribute_name": "_data_format"},
    "remove_attribute": {"attribute_name": "data_format"},
}


def task(kind: type[Pass], graph: ModelGraph) -> Callable[[], object]:
    """The pass at work on this graph, with parameters that give it something to do."""
    values: dict[str, Any] = {}
    if kind.name == "rename_outputs":
        values = {"names": {graph.outputs[0]: "renamed"}}
    elif kind.name == "freeze_requantization_ranges":
        graph = apply(make("quantize_nodes", {}), graph).graph
        values = {"ranges": {node.name: (-1, 1) for node in graph.nodes if node.op == "RequantizationRange"}}
    elif kind.name == "rename_node":
        values = {"old_node_name": graph.outputs[0], "new_node_name": "renamed"}
    else:
        values = VALUES.get(kind.name, {})
    return partial(apply, kind.from_values(values), graph)


def rows() -> Iterator[Row]:
    """The time on a real model, then each pass's ratio of processor times; other processes don't fall into those."""
    graph = read_graph(model_file("blazepose-heavy", 1_075, 55))
    transform = make("quantize_nodes", {})
    yield Row("quantize_nodes, blazepose-heavy", median_seconds(partial(apply, transform, graph), 3), limit=2)
    by_nodes = [network(2_000 * scale, 4) for scale in (1, 2, 4)]
    by_bytes = [network(400, 20 * scale) for scale in (1, 2, 4)]
    for kind in ALL:
        for axis, graphs in (("nodes", by_nodes), ("bytes", by_bytes)):
            seconds = medians([task(kind, graph) for graph in graphs], 3, time.process_time)
            times = ", ".join(f"{1e3 * one:.3g}" for one in seconds)
            yield Row(f"{kind.name}, {axis}", seconds[-1] / seconds[0], "times", 6, f"1 x, 2 x, 4 x: {times} ms")


if __name__ == "__main__":
    main("Passes", rows)
