from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor_gui.core.channels import find_channels
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.remove_channels import RemoveChannels
from compressor_gui.core.values import DType, Tensor
from tests.support import (
    BLOCKS,
    Net,
    applied,
    assert_same_numbers,
    batch_norm_net,
    concat_net,
    const,
    conv,
    conv_net,
    graph,
    graphs,
    node,
    placeholder,
    real_model,
    residual_net,
    run_tf,
    synthetic_feeds,
)

HALF = RemoveChannels(share=0.5)


def array(model: ModelGraph, name: str) -> np.ndarray:
    tensor = model[name].tensor
    assert tensor is not None
    return tensor.array


def silenced(model: ModelGraph, transform: RemoveChannels) -> ModelGraph:
    """``model`` with zeros in place of all that is held for the channels that would go: it computes the same."""
    channels = find_channels(model)
    gone = np.zeros(channels.count, bool)
    for layer, lost in transform.chosen_channels(model).items():
        gone[channels.made[layer][list(lost)]] = True
    edit = Edit(model)
    for (name, axis), ids in channels.held.items():
        tensor = edit[name].tensor
        assert tensor is not None
        values = np.array(tensor.array)
        np.moveaxis(values, axis, 0)[gone[ids]] = 0
        edit.replace(edit[name].with_(attrs={"value": Tensor(DType.FLOAT, values)}))
    return edit.finish()


def test_the_least_channels_go_with_their_bias_and_their_place_in_a_flattened_picture() -> None:
    before = conv_net()
    after = applied(HALF, before).graph
    norms = np.sqrt(np.square(array(before, "conv/weights")).sum(axis=(0, 1, 2)))
    kept = np.sort(np.argsort(norms)[4:])
    np.testing.assert_array_equal(array(after, "conv/weights"), array(before, "conv/weights")[..., kept])
    np.testing.assert_array_equal(array(after, "bias/values"), array(before, "bias/values")[kept])
    rows = array(before, "dense/weights").reshape(4, 4, 8, 10)[:, :, kept].reshape(64, 10)
    np.testing.assert_array_equal(array(after, "dense/weights"), rows)
    assert list(array(after, "flatten/shape")) == [-1, 64]
    assert array(after, "dense_bias/values").shape == (10,)


def test_the_partners_of_a_sum_go_together() -> None:
    before = residual_net()
    channels = find_channels(before)
    assert channels.groups() == [("conv", "conv_2"), ("conv_1",)]
    assert all("output" in channels.reasons[one] for one in channels.made["conv_2"].tolist())
    done = applied(HALF, before)
    assert {name: array(done.graph, f"{name}/weights").shape for name in ("conv", "conv_1", "conv_2")} == {
        "conv": (3, 3, 3, 6),
        "conv_1": (3, 3, 6, 3),
        "conv_2": (3, 3, 3, 6),
    }
    assert "Kept, as they are an output of the graph: channels of conv, conv_2." in done.notes


def test_a_concatenation_keeps_the_places_of_those_that_stay() -> None:
    before = concat_net()
    transform = RemoveChannels(layers=(("conv", 0.5),))
    lost = transform.chosen_channels(before)
    assert {layer: len(channels) for layer, channels in lost.items()} == {"conv": 2, "conv_1": 0, "conv_2": 0}
    after = applied(transform, before).graph
    order = array(before, "conv_2/weights").shape[2]
    kept = [channel for channel in range(order) if channel - 5 not in lost["conv"]]  # conv_1's five come first
    np.testing.assert_array_equal(array(after, "conv_2/weights"), array(before, "conv_2/weights")[:, :, kept])


def test_batch_norms_and_depthwise_filters_follow() -> None:
    before = batch_norm_net()
    last = Net((1, 8, 8, 6)).conv(4)
    nodes = [
        *before.nodes,
        last.nodes["conv/weights"],
        last.nodes["conv"].with_(name="last", inputs=["relu6_1", "conv/weights_"]),
    ]
    nodes[-2] = nodes[-2].with_(name="conv/weights_")
    model = ModelGraph(nodes)
    after = applied(HALF, model).graph
    assert {name: array(after, name).shape for name in after if after[name].op == "Const"} == {
        "conv/weights": (3, 3, 3, 3),
        "depthwise/weights": (3, 3, 3, 1),
        "conv/weights_": (3, 3, 3, 4),
        **{f"{bn}/{key}": (3,) for bn in ("bn", "bn_1") for key in ("gamma", "beta", "mean", "variance")},
    }


def test_a_depthwise_multiplier_repeats_the_channels() -> None:
    model = Net().conv(4).depthwise(2).conv(3).build()
    after = applied(RemoveChannels(layers=(("conv", 0.25),)), model).graph
    assert array(after, "depthwise/weights").shape == (3, 3, 3, 2)
    assert array(after, "conv_1/weights").shape == (3, 3, 6, 3)


@pytest.mark.tensorflow
def test_what_is_computed_is_that_of_a_network_in_which_they_are_silent() -> None:
    for model in (conv_net(), residual_net(), concat_net()):
        assert_same_numbers(silenced(model, HALF), applied(HALF, model).graph, tolerance=1e-5)


@pytest.mark.tensorflow
@settings(max_examples=15, deadline=None)
@given(
    graphs(blocks=(*BLOCKS, "grouped")),
    st.floats(0.2, 0.9),
    st.sampled_from(("l1", "l2", "random")),
    st.sampled_from(("layer", "global")),
)
def test_any_network(model: ModelGraph, share: float, criterion: str, scope: str) -> None:
    transform = RemoveChannels(share=share, criterion=criterion, scope=scope)
    assert_same_numbers(silenced(model, transform), applied(transform, model).graph, tolerance=1e-4)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["gear", "movenet-lightning", "centernet"])
def test_real_models_stay_valid_and_run(name: str) -> None:
    model = real_model(name)
    done = applied(RemoveChannels(share=0.25, multiple=4), model)
    feeds = synthetic_feeds(model)
    before, after = run_tf(model, feeds), run_tf(done.graph, feeds)
    assert {key: value.shape for key, value in after.items()} == {key: value.shape for key, value in before.items()}
    assert all(np.isfinite(value).all() for value in after.values())
    weights = sum(n.tensor.nbytes for n in model.nodes if n.tensor is not None)
    assert sum(n.tensor.nbytes for n in done.graph.nodes if n.tensor is not None) < 0.7 * weights


def test_every_layer_keeps_a_channel_and_the_multiple() -> None:
    model = Net().conv(10).bias().then("Relu").conv(3).then("Relu").conv(2).build()
    most = applied(RemoveChannels(share=0.99), model).graph
    assert [array(most, f"{name}/weights").shape[3] for name in ("conv", "conv_1", "conv_2")] == [1, 1, 2]
    fours = applied(RemoveChannels(share=0.5, multiple=4), model).graph
    assert [array(fours, f"{name}/weights").shape[3] for name in ("conv", "conv_1", "conv_2")] == [8, 3, 2]


def test_a_global_share_takes_them_where_they_are_least() -> None:
    model = Net().conv(4).then("Relu").conv(4).then("Relu").conv(2).build()
    edit = Edit(model)
    weights = np.array(array(model, "conv/weights"))
    weights[..., :3] *= 0.01
    edit.replace(model["conv/weights"].with_(attrs={"value": Tensor(DType.FLOAT, weights)}))
    lost = RemoveChannels(share=0.375, scope="global").chosen_channels(edit.finish())
    assert lost == {"conv": (0, 1, 2), "conv_1": (), "conv_2": ()}


def test_random_is_the_seed_s() -> None:
    model = Net().conv(32).then("Relu").conv(2).build()
    chosen = [RemoveChannels(share=0.5, criterion="random", seed=seed).chosen_channels(model) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


def _two_readers(reader: Node) -> ModelGraph:
    net = Net().conv(4).then("Relu")
    middle = net.top
    net.conv(2)
    net.add(reader.with_(inputs=[middle, *reader.inputs[1:]]))
    return net.build(outputs=[net.top, reader.name])


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        (node("end", "Softmax", ""), "Softmax (end) needs all of them"),
        (node("end", "Identity", ""), "they are an output of the graph"),
        (node("end", "SpaceToDepth", "", block_size=2), "SpaceToDepth (end) needs all of them"),
    ],
)
def test_what_needs_all_channels_keeps_them(reader: Node, reason: str) -> None:
    done = applied(HALF, _two_readers(reader))
    assert not done.changed
    assert any(note.startswith(f"Kept, as {reason}: channels of conv") for note in done.notes)


def test_weights_that_something_else_reads_stay() -> None:
    net = Net().conv(4).then("Relu").conv(2)
    net.add(node("negative", "Neg", "conv/weights"))
    done = applied(HALF, net.build(outputs=[net.top, "negative"]))
    assert "conv" not in find_channels(net.build(outputs=[net.top, "negative"])).made
    assert not done.changed


def test_a_shape_that_two_reshapes_are_told_is_copied() -> None:
    model = graph(
        placeholder("x", (2, 4)), placeholder("y", (2, 1, 1, 4)), const("w", np.eye(4, dtype=np.float32)),
        const("v", np.ones((4, 2), np.float32)), const("shape", (2, 4), DType.INT32),
        node("m", "MatMul", "x", "w", transpose_a=False, transpose_b=False),
        node("r", "Reshape", "m", "shape", Tshape=DType.INT32),
        node("n", "MatMul", "r", "v", transpose_a=False, transpose_b=False),
        node("other", "Reshape", "y", "shape", Tshape=DType.INT32),
        outputs=["n", "other"],
    )  # fmt: skip
    after = applied(HALF, model).graph
    assert list(array(after, "r/kept_shape")) == [2, 2]
    assert after["other"] is model["other"]
    assert array(after, "v").shape == (2, 2)


def test_transposed_convolutions_lose_channels_too() -> None:
    net = Net().conv(4).then("Relu")
    weights = net.weights("up/weights", 2, 2, 6, 4)
    sizes = net.const("up/size", (1, 16, 16, 6), DType.INT32)
    net.add(conv("up", sizes, weights, op="Conv2DBackpropInput", stride=2).with_(inputs=[sizes, weights, net.top]))
    net.top, net.shape = "up", (1, 16, 16, 6)
    after = applied(HALF, net.conv(3).build()).graph
    assert array(after, "up/weights").shape == (2, 2, 3, 2)
    assert list(array(after, "up/size")) == [1, 16, 16, 3]


def _grouped_net(*, behind_a_layer: bool = False) -> ModelGraph:
    net = Net((1, 8, 8, 8))
    if behind_a_layer:
        net.conv(8).then("Relu")
    return net.conv(8, groups=2, name="grouped").then("Relu").conv(4, name="last").build()


@pytest.mark.parametrize("behind_a_layer", [False, True])
def test_a_convolution_in_groups_keeps_what_it_reads_and_makes(behind_a_layer: bool) -> None:
    done = applied(RemoveChannels(share=0.4), _grouped_net(behind_a_layer=behind_a_layer))
    assert not done.changed
    assert any(note.startswith("Kept, as grouped works in groups: channels of grouped") for note in done.notes)


def test_a_convolution_that_may_work_in_groups_keeps_what_it_makes() -> None:
    edit = Edit(_grouped_net())
    edit.replace(placeholder("input", (1, 8, 8, -1)))
    done = applied(RemoveChannels(share=0.4), edit.finish())
    assert not done.changed
    assert any("it is not known whether grouped works in groups" in note for note in done.notes)


def test_a_transposed_convolution_in_groups_keeps_what_it_reads() -> None:
    net = Net().conv(4).then("Relu")
    weights = net.weights("up/weights", 2, 2, 3, 4)
    sizes = net.const("up/size", (1, 16, 16, 6), DType.INT32)
    net.add(conv("up", sizes, weights, op="Conv2DBackpropInput", stride=2).with_(inputs=[sizes, weights, net.top]))
    net.top, net.shape = "up", (1, 16, 16, 6)
    done = applied(HALF, net.conv(3).build())
    assert not done.changed
    assert any(note.startswith("Kept, as up works in groups: channels of conv") for note in done.notes)


def test_a_normalization_over_neighbours_keeps_them() -> None:
    radius = {"depth_radius": 2, "bias": 1.0, "alpha": 1.0, "beta": 0.5}
    done = applied(HALF, Net().conv(8).then("LRN", **radius).conv(2).build())
    assert not done.changed
    assert "Kept, as lrn mixes neighbours: channels of conv." in done.notes


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (RemoveChannels(), "no channel is to go"),
        (RemoveChannels(layers=(("convv", 0.5),)), "there is no layer 'convv'"),
        (RemoveChannels(share=0.5, skip=("nothing",)), "there is no layer 'nothing'"),
    ],
)
def test_bad_requests(transform: RemoveChannels, words: str) -> None:
    with pytest.raises(PassError, match=words):
        transform.run(residual_net())


def test_partners_must_be_told_the_same() -> None:
    model = Net().conv(4).then("Relu")
    shortcut = model.top
    net = model.conv(4).then("AddV2", shortcut).then("Relu").conv(2).build()
    with pytest.raises(PassError, match=r"'conv' \(0.5\) and 'conv_1' \(0.25\) share their channels"):
        RemoveChannels(layers=(("conv", 0.5), ("conv_1", 0.25))).run(net)
    both = applied(RemoveChannels(layers=(("conv", 0.5),)), net).graph
    assert array(both, "conv_1/weights").shape == (3, 3, 2, 2)
