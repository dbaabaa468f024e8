"""Which values of an original are compared, and where they are in what was made of it."""

from __future__ import annotations

import numpy as np
import pytest

from compressor_gui.core.counterparts import Codes, Place, bytes_of, chains, places, with_given
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.recipe import Recipe, Replay, Replayer
from compressor_gui.core.values import DType, Shape
from tests.support import Net, conv_net, graph, needs_shared, node, placeholder, real_model, residual_net


def ends(of: ModelGraph) -> dict[str, str]:
    return {chain.end: chain.what for chain in chains(of)}


def found(of: ModelGraph, recipe: Recipe) -> dict[str, Place]:
    return places(Replayer(of).replay(recipe), {chain.end: chain.nodes[-1] for chain in chains(of)})


def ranges_for(of: ModelGraph) -> dict[str, tuple[float, float]]:
    return dict.fromkeys(FuseInt8().activations(of), (-1.0, 3.0))


# --- layers ----------------------------------------------------------------------------------------------------------


def test_a_layer_ends_with_its_activation() -> None:
    net = Net().conv(4).bias().then("Relu").conv(4).batch_norm().then("Relu6").conv(2).build()
    assert ends(net) == {
        "relu": "Conv2D · Bias · Relu",
        "relu6": "Conv2D · BatchNorm · Relu6",
        "conv_2": "Conv2D",
    }


def test_a_value_that_is_read_twice_or_put_out_ends_a_layer() -> None:
    net = residual_net()
    read_twice = [name for name in ends(net) if len(net.consumers[name]) > 1]
    assert read_twice
    put_out = Net().conv(4).bias().then("Relu").build()
    put_out = ModelGraph(put_out.nodes, outputs=("bias", "relu"))
    assert ends(put_out) == {"bias": "Conv2D · Bias", "relu": "Relu"}


def test_moves_and_constants_are_no_layers() -> None:
    made = graph(
        placeholder("x", (1, 4)),
        *(node("moved", "Identity", "x"), node("y", "Relu", "moved"), node("out", "Identity", "y")),
    )
    assert ends(made) == {"y": "Relu"}


def test_what_runs_in_a_branch_is_left_out() -> None:
    made = graph(
        *(placeholder("x", (1, 4)), placeholder("p", (), DType.BOOL)),
        *(node("switch", "Switch", "x", "p"), node("inside", "Relu", "switch:1"), node("kept", "Relu", "x")),
        *(node("merge", "Merge", "switch", "inside", N=2), node("y", "Neg", "merge")),
    )
    assert set(ends(made)) == {"kept", "merge", "y"}


def test_bytes_are_those_of_one_example() -> None:
    net = Net((7, 8, 8, 3)).conv(4).build()
    assert bytes_of(net, {"conv": net["conv"]}) == 4 * 8 * 8 * 4


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["prune(sparsity=0.5)", "quantize_weights", "round_weights"])
def test_floats_keep_their_names(step: str) -> None:
    net = conv_net()
    assert found(net, Recipe.of(parse(step))) == {name: Place(name) for name in ends(net)}


def test_classic_codes_come_with_the_limits_of_their_node() -> None:
    net = Net().conv(4).bias().then("Relu").conv(4).bias().then("Relu").then("Exp").build()
    there = found(net, Recipe.of(parse("quantize_nodes")))
    inside = "relu_eightbit_quantized"
    assert there["relu"] == Place(inside, (f"{inside}:1", f"{inside}:2"), "MIN_FIRST")
    # The second Relu is a Dequantize with that name: its codes are what stands for it.
    assert there["relu_1"].tensor == "relu_1_eightbit_quantized"
    assert there["exp"] == Place("exp")
    assert there["relu"].made_with == there["relu"].fetched


def test_what_only_moves_codes_has_the_limits_of_what_it_moves() -> None:
    net = Net().conv(4).bias().then("Relu")
    net.top = net.add(node("most", "Max", "relu", net.const("axes", [1, 2], DType.INT32), keep_dims=True))
    model = net.conv(4).build()
    most = found(model, Recipe.of(parse("quantize_nodes")))["most"]
    moved = "relu_eightbit_quantized"
    assert most == Place("most_eightbit_quantized", (f"{moved}:1", f"{moved}:2"), "MIN_FIRST")
    assert most.made_with == (most.tensor,)


def test_fused_codes_come_with_the_limits_of_the_pass() -> None:
    net = Net().conv(4).bias().then("Relu").conv(4).bias().then("Exp").build()
    fuse = FuseInt8(tuple(ranges_for(net).items()), everywhere=True)
    there = found(net, Recipe.of(fuse))
    assert there["relu"].tensor == "relu_int8"
    assert there["relu"].limits == pytest.approx((0.0, 3.0))
    low, high = fuse.limits(net)["bias_1"]
    assert (low <= -1, high >= 3) == (True, True)
    # Read by float: the constants of the Dequantize say the same.
    assert there["bias_1"].tensor == "bias_1_int8"
    assert [float(net_limit) for net_limit in _constants(net, fuse, there["bias_1"])] == pytest.approx([low, high])


def _constants(net: ModelGraph, fuse: FuseInt8, place: Place) -> list[np.ndarray]:
    made = Replayer(net).replay(Recipe.of(fuse)).graph
    tensors = [made[str(limit)].tensor for limit in place.limits or ()]
    return [tensor.array for tensor in tensors if tensor is not None]


def test_a_file_of_fused_codes_does_not_say_what_they_stand_for() -> None:
    net = Net().conv(4).bias().then("Relu").conv(4).bias().then("Exp").build()
    made = Replayer(net).replay(Recipe.of(FuseInt8(tuple(ranges_for(net).items()), everywhere=True))).graph
    there = places(Replay(made), {chain.end: chain.nodes[-1] for chain in chains(net)})
    assert set(there) == {"bias_1", "exp"}


@needs_shared
@pytest.mark.parametrize("step", ["quantize_nodes", "fuse_int8"])
def test_every_layer_of_a_real_model_has_a_place(step: str) -> None:
    posenet = real_model("posenet")
    fuse = FuseInt8(tuple(ranges_for(posenet).items()))
    assert set(found(posenet, Recipe.of(fuse if step == "fuse_int8" else parse(step)))) == set(ends(posenet))


# --- codes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["MIN_COMBINED", "MIN_FIRST", "SCALED"])
@pytest.mark.parametrize("dtype", [DType.QUINT8, DType.QINT8])
def test_codes_and_back_is_within_half_a_step(mode: str, dtype: DType) -> None:
    low = 0.0 if (mode, dtype) == ("SCALED", DType.QUINT8) else -2.0
    codes = Codes(Place("x", ("low", 2.0), mode), dtype, {"low": np.float32([low])})
    values = np.linspace(low + 0.1, 1.9, 1000).astype(np.float32)
    there = codes.codes(values)
    assert there.dtype == (np.uint8 if dtype == DType.QUINT8 else np.int8)
    assert np.abs(codes.values(there) - values).max() <= (2 - low) / 254 / 2 + 1e-6


def test_an_empty_range_has_one_code() -> None:
    codes = Codes(Place("x", (0.0, 0.0)), DType.QUINT8, {})
    assert codes.codes(np.float32([1, np.nan])).tolist() == [0, 0]
    assert codes.values(np.uint8([0, 0])).tolist() == [0, 0]


# --- given values ----------------------------------------------------------------------------------------------------


def test_readers_read_what_they_are_given() -> None:
    net = Net().conv(4).bias().then("Relu").build()
    made, names = with_given(net, {"conv": (DType.FLOAT, Shape((1, 8, 8, 4)))})
    assert made["bias"].inputs[0] == names["conv"]
    assert made["conv"] is net["conv"]
    assert made[names["conv"]].shape() == Shape((1, 8, 8, 4))
    assert made.outputs == net.outputs
