from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.fold_old_batch_norms import FoldOldBatchNorms
from compressor_gui.core.pbio import to_bytes
from tests.support import Net, applied, assert_same_numbers, batch_norm_net, graphs, real_model


def global_norm(after: bool = True) -> ModelGraph:
    net = Net().conv(4)
    names = [net.vector(name, 4, low, 1.5) for name, low in (("m", -0.5), ("v", 0.5), ("b", -0.5), ("g", 0.5))]
    net.then("BatchNormWithGlobalNormalization", *names, name="bn", variance_epsilon=0.001,
             scale_after_normalization=after)  # fmt: skip
    return net.then("Relu").build()


def test_the_old_operation_and_the_fused_ones() -> None:
    done = applied(FoldOldBatchNorms(), global_norm())
    assert done.graph["bn"].op == "BiasAdd"
    assert set(done.removed) == {"m", "v", "b", "g"}
    fused = applied(FoldOldBatchNorms(), batch_norm_net())
    assert to_bytes(fused.graph) == to_bytes(applied(FoldBatchNorms(), batch_norm_net()).graph)


def test_a_multiplication_alone_is_left_to_fold_batch_norms() -> None:
    net = Net().conv(4)
    net.then("Mul", net.vector("scale", 4)).then("Relu")
    assert not applied(FoldOldBatchNorms(), net.build()).changed
    assert applied(FoldBatchNorms(), net.build()).changed


def test_what_cannot_be_folded_is_said() -> None:
    net = Net().conv(4).then("Relu").batch_norm()
    assert "does not stand behind a layer" in applied(FoldOldBatchNorms(), net.build()).notes[0]


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(FoldOldBatchNorms(), model)
    assert not applied(FoldOldBatchNorms(), done.graph).changed


@pytest.mark.tensorflow
@pytest.mark.parametrize("before", [batch_norm_net(), Net().conv(4).batch_norm(op="FusedBatchNorm").build()])
def test_tensorflow_computes_the_same(before: ModelGraph) -> None:
    done = applied(FoldOldBatchNorms(), before)
    assert not any("BatchNorm" in op for op in done.graph.op_counts)
    assert_same_numbers(before, done.graph, 1e-5)


@pytest.mark.tensorflow
def test_the_oldest_operation_has_no_kernel_any_more_and_its_formula_is_its_documentation_s() -> None:
    """``(x - mean) * rsqrt(variance + epsilon) * gamma + beta``, against the folded graph in TensorFlow."""
    before = global_norm()
    plain = Net().conv(4)
    values = {name: before[name].tensor.array.astype(np.float64) for name in "mvbg"}  # type: ignore[union-attr]
    scale = values["g"] / np.sqrt(values["v"] + 0.001)
    plain.const("scale", scale.astype(np.float32))
    plain.const("offset", (values["b"] - values["m"] * scale).astype(np.float32))
    expected = plain.then("Mul", "scale").then("Add", "offset").then("Relu").build()
    assert_same_numbers(expected, applied(FoldOldBatchNorms(), before).graph, 1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["emotion", "liveness"])
def test_real_models_whose_norms_were_folded_before_stay(model: str) -> None:
    before = real_model(model)
    assert not applied(FoldOldBatchNorms(), before).changed
