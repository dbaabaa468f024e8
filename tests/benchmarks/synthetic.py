"""Synthetic networks of any size, that look to the program like real ones: scopes, residual blocks, batch norms."""

from __future__ import annotations

import math

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.values import DType
from tests.support import Net, node


def network(nodes: int, megabytes: float, branches: int = 1, seed: int = 0) -> ModelGraph:
    """A residual network of about ``nodes`` nodes whose weights take about ``megabytes``.

    Its blocks are a 3x3 convolution with batch norm or bias, ReLU, Identity and the addition of what came before; every
    tenth block ends a name scope. They stand one behind the other in ``branches`` of equal length, added at the end.
    """
    blocks = max(1, nodes // (9 * branches))
    channels = max(2, round(math.sqrt(megabytes * 1e6 / (branches * blocks * 9 * 4))))
    net = Net((1, 16, 16, channels), seed)
    ends = []
    for branch in range(branches):
        net.top = "input"
        for block in range(blocks):
            _block(net, f"branch_{branch}/stage_{block // 10}/block_{block}", block % 2 == 0)
        ends.append(net.top)
    net.top = net.add(node("sum", "AddN", *ends, N=len(ends), T=DType.FLOAT))
    return net.build()


def _block(net: Net, scope: str, normed: bool) -> None:
    before = net.top
    net.conv(net.shape[3], name=f"{scope}/conv")
    if normed:
        net.batch_norm(f"{scope}/bn")
    else:
        net.bias(f"{scope}/bias").then("CheckNumerics", name=f"{scope}/check", message=b"not a number")
    net.then("Relu", name=f"{scope}/relu").then("Identity", name=f"{scope}/identity")
    net.then("AddV2", before, name=f"{scope}/sum")
