"""Synthetic networks of any size, that look to the program like real ones: scopes, residual blocks, batch norms."""

from __future__ import annotations

import math

from compressor_gui.core.graph import ModelGraph
from tests.support import Net


def network(nodes: int, megabytes: float, seed: int = 0) -> ModelGraph:
    """A residual network of about ``nodes`` nodes whose weights take about ``megabytes``.

    Its blocks are a 3x3 convolution with batch norm or bias, ReLU, Identity and the addition of what came before;
    every tenth block ends a name scope.
    """
    blocks = max(1, nodes // 9)
    channels = max(2, round(math.sqrt(megabytes * 1e6 / (blocks * 9 * 4))))
    net = Net((1, 16, 16, channels), seed)
    for block in range(blocks):
        scope, before = f"stage_{block // 10}/block_{block}", net.top
        net.conv(channels, name=f"{scope}/conv")
        if block % 2:
            net.bias(f"{scope}/bias").then("CheckNumerics", name=f"{scope}/check", message=b"not a number")
        else:
            net.batch_norm(f"{scope}/bn")
        net.then("Relu", name=f"{scope}/relu").then("Identity", name=f"{scope}/identity")
        net.then("AddV2", before, name=f"{scope}/sum")
    return net.build()
