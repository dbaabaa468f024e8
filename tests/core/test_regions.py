from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.recipe import Recipe, Replay, Replayer, Step
from compressor_gui.core.regions import Region, islands, regions
from compressor_gui.core.values import DType
from tests.support import Net, conv_net, node, placeholder


def replayed(model: ModelGraph, *steps: str) -> Replay:
    return Replayer(model).replay(Recipe(tuple(Step(parse(step)) for step in steps)))


def found(model: ModelGraph, *steps: str) -> tuple[Region, ...]:
    done = replayed(model, *steps)
    return regions(done.graph, done.left)


def fused(model: ModelGraph, **values: object) -> tuple[Region, ...]:
    """Everything that has a kernel in int8, all ranges the same."""
    values = {"everywhere": True, **values}
    wanted = FuseInt8(**values).activations(model)  # type: ignore[arg-type]
    made = FuseInt8(dict.fromkeys(wanted, (-3.0, 5.0)), **values)  # type: ignore[arg-type]
    done = Replayer(model).replay(Recipe((Step(made),)))
    return regions(done.graph, done.left)


def torn(op: str = "Sigmoid") -> ModelGraph:
    """input 2x8x8x3 -> conv, ``op``, conv."""
    return Net((2, 8, 8, 3)).conv(5).then(op, name="torn").conv(4).build()


def test_a_float_graph_has_none() -> None:
    assert regions(conv_net()) == ()


def test_stored_weights_are_no_region() -> None:
    assert found(conv_net(), "quantize_weights(minimum_size=1)") == ()
    assert found(conv_net(), "quantize_nodes(mode=weights)") == ()


def test_a_chain_is_one_region_without_islands() -> None:
    (region,) = found(conv_net(), "quantize_nodes")
    assert {"conv_eightbit_quantized_conv", "conv_eightbit_requant_range", "dense_bias"} <= region.nodes
    assert not {"conv/weights_quint8_const", "softmax", "input"} & region.nodes
    assert (region.fused, region.islands) == (False, ())


def test_an_operation_without_a_kernel_tears_a_region_in_two() -> None:
    first, second = found(torn(), "quantize_nodes")
    (island,) = first.islands
    assert second.islands == (island,)
    assert island.nodes == ("torn",)  # what only finds the range of the QuantizeV2 belongs to the conversion
    assert island.reason == "Sigmoid has no 8-bit kernel"
    assert [name.rpartition("/")[2] for name in island.conversions] == ["conv", "conv_1_eightbit_quantize_torn"]
    assert island.elements == 2 * 8 * 8 * 5  # there and back, for one of the two examples
    assert island.bytes == 5 * island.elements
    assert islands((first, second)) == (island,)


def test_the_same_between_fused_layers() -> None:
    first, second = fused(torn())
    assert first.fused
    assert second.fused
    (island,) = islands((first, second))
    assert (island.nodes, island.reason, island.elements) == (("torn",), "Sigmoid has no 8-bit kernel", 640)


def split(net: Net) -> None:
    start, net.top = net.top, net.const("axis", 3, DType.INT32)
    net.then("Split", start, name="torn", num_split=1)


def resized(net: Net) -> None:
    net.then("ResizeBilinear", net.const("size", (8, 8), DType.INT32), name="torn", half_pixel_centers=True)


def swish(net: Net) -> None:
    start = net.top
    net.then("Add", net.const("three", 3.0)).then("Relu6").then("Mul", start, name="torn")


@pytest.mark.parametrize(
    ("tear", "reason"),
    [
        (split, "codes are handed on from first outputs only, and a split has several"),
        (resized, "the 8-bit kernel of ResizeBilinear gains nothing, conversions counted"),
        (swish, "no fused 8-bit kernel for Mul of two tensors, as in a hard swish or a gate"),
    ],
)
def test_what_the_fused_kernels_are_not_used_for(tear: Callable[[Net], None], reason: str) -> None:
    net = Net((1, 8, 8, 3)).conv(5).bias()
    tear(net)
    reasons = {part for island in islands(fused(net.conv(5).bias().build())) for part in island.reason.split("; ")}
    assert reason in reasons


def test_an_unknown_size_is_not_guessed() -> None:
    model = torn()
    open_ = ModelGraph([placeholder("input", (-1, -1, 8, 3)), *list(model.nodes)[1:]], outputs=model.outputs)
    (island,) = islands(found(open_, "quantize_nodes"))
    assert (island.elements, island.bytes) == (None, None)
    free = ModelGraph([placeholder("input", (-1, 8, 8, 3)), *list(model.nodes)[1:]], outputs=model.outputs)
    assert islands(found(free, "quantize_nodes"))[0].elements == 640


def test_what_was_skipped_says_so() -> None:
    model = torn("Relu")
    for made in (found(model, "quantize_nodes(skip=torn)"), fused(model, skip="torn")):
        (island,) = islands(made)
        assert island.reason == "Relu skipped by name"


def test_without_the_recipe_the_reason_is_what_may_be() -> None:
    model = replayed(torn("Relu"), "quantize_nodes(skip=torn)").graph
    (island,) = islands(regions(model))
    assert island.reason == "Relu was skipped by name"


def test_layers_whose_range_is_not_known_or_which_do_not_pay() -> None:
    model = Net((1, 8, 8, 4)).conv(5).then("Relu").conv(5).then("Relu").conv(4).then("Relu").build()
    ranges = dict.fromkeys(("input", "relu", "relu_2"), (0.0, 5.0))
    replay = Replayer(model).replay(Recipe((Step(FuseInt8(ranges, everywhere=True)),)))
    assert replay.left["conv_1"] == "No range was measured for what it reads or puts out"
    costly = Replayer(model).replay(Recipe((Step(FuseInt8({**ranges, "relu_1": (0.0, 5.0)})),)))
    assert costly.left["conv_1"] == "Conv2D that would gain less than its conversions cost"


def test_a_layer_that_no_kernel_fits() -> None:
    net = Net((1, 8, 8, 4)).conv(4).then("Relu")
    net.conv(4)
    net.nodes[net.top] = net.nodes[net.top].with_(attrs={"dilations": (1, 2, 2, 1)})
    (island,) = islands(found(net.then("Relu").conv(4).build(), "quantize_nodes"))
    assert island.reason == "Conv2D with dilations has no 8-bit kernel"


def test_sizes_that_are_computed_are_no_island() -> None:
    net = Net((1, 4, 4, 3)).conv(3)
    net.add(node("size", "Shape", net.top, out_type=DType.INT32))
    model = net.then("Reshape", "size", Tshape=DType.INT32).then("Relu").build()
    (region,) = found(model, "quantize_nodes")
    assert region.islands == ()


def test_the_command_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "eight.pb"
    write_graph(replayed(torn(), "quantize_nodes").graph, path)
    run = CliRunner().invoke(cli, ["inspect", str(path), "--regions"])
    assert "2 8-bit regions of" in run.stdout
    assert "Sigmoid has no 8-bit kernel" in run.stdout.splitlines()[-1]
    data = json.loads(CliRunner().invoke(cli, ["inspect", str(path), "--regions", "--json"]).stdout)
    assert [len(region["islands"]) for region in data["regions"]] == [1, 1]
    assert data["regions"][0]["islands"][0]["elements"] == 640


def test_many_regions() -> None:
    net = Net((1, 4, 4, 2))
    for _ in range(400):
        net.conv(2, kernel=1).then("Tanh")
    made = found(net.build(), "quantize_nodes")
    assert (len(made), len(islands(made))) == (400, 399)
