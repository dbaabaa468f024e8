"""Fused int8 on ResNet-50 as the literature has it, batch norms folded, weights of the right shapes."""

from __future__ import annotations

from collections import Counter

import pytest

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from tests.support import applied, big_network


@pytest.fixture(scope="module")
def resnet_50() -> ModelGraph:
    return big_network("resnet-50")


def test_all_53_convolutions_are_fused_between_one_quantize_and_one_dequantize(resnet_50: ModelGraph) -> None:
    transform = FuseInt8(tuple(dict.fromkeys(FuseInt8().activations(resnet_50), (-3.0, 6.0)).items()))
    made = applied(transform, resnet_50).graph
    ops = Counter(node.op for node in made.nodes)
    assert not [op for op in ops if op.startswith(("Requantiz", "Conv2D"))]
    layers = {op: count for op, count in ops.items() if op.startswith("QuantizedConv2D")}
    assert layers == {
        "QuantizedConv2DWithBiasAndReluAndRequantize": 37,
        "QuantizedConv2DWithBiasSumAndReluAndRequantize": 16,  # one for each of the residual sums
    }
    assert ops["QuantizedMatMulWithBiasAndDequantize"] == 1
    assert ops["Dequantize"] == 1
    back = made["pool/Mean"].data_refs[0].name
    assert made[back].op == "Dequantize"  # the mean is float, and nothing in front of it is
    assert ops["QuantizeV2"] == 2  # the pictures, and what fc1000 reads


def test_the_classic_graph_has_what_the_fused_one_is_rid_of(resnet_50: ModelGraph) -> None:
    ops = Counter(node.op for node in applied(QuantizeNodes(), resnet_50).graph.nodes)
    assert ops["RequantizationRange"] == ops["Requantize"] > 53
    assert ops["QuantizedConv2D"] == 53
