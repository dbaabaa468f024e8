"""How long the two rewritings to 8 bits take on ResNet-50 and on a graph of 1 GB, calibration not counted.

What counts is the processor's time, of all threads: on a machine that has nothing else to do no run takes longer. The
time on the clock and the machine's load stand beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import apply
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from tests.benchmarks.report import Row, main
from tests.benchmarks.synthetic import network
from tests.support import big_network


def graphs() -> Iterator[tuple[str, Callable[[], ModelGraph], float]]:
    """Name, what makes it, and the limit in seconds."""
    yield "ResNet-50", partial(big_network, "resnet-50"), 2
    yield "1 GB", partial(network, 400, 1000), 20


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """The processor's, and the clock's. One run: a first rewriting is what a user waits for."""
    start, clock = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - start, time.perf_counter() - clock


def rows() -> Iterator[Row]:
    """Each pass with all that ``apply`` does: the rewriting, its verification, and the account of every node."""
    for name, make, limit in graphs():
        graph = make()
        ranges = dict.fromkeys(FuseInt8().activations(graph), (-3.0, 6.0))
        for transform in (FuseInt8(tuple(ranges.items())), QuantizeNodes()):
            processor, clock = seconds(partial(apply, transform, graph))
            note = f"{clock:.1f} s on the clock at a load of {os.getloadavg()[0]:.1f}"
            yield Row(f"{transform.name}, {name}", processor, "s", limit, note)


if __name__ == "__main__":
    main("Rewriting to 8 bits", rows)
