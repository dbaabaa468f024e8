"""What the tests share: small networks made with the core alone, random ones, and TensorFlow to run them.

The networks are NHWC; their weights come from a fixed seed.
"""

from __future__ import annotations

import json
import math
import os
import runpy
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from compressor_gui.core.graph import ModelGraph, Node, parse_ref
from compressor_gui.core.passes import Pass, PassResult, apply, make
from compressor_gui.core.pbio import parse_graph, read_graph, to_bytes
from compressor_gui.core.values import Attr, DType, Shape, Tensor

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""The folder of real models, photographs and MNIST; it lies beside the project and is not part of it."""

MODEL_FILES = tuple(sorted((SHARED / "models").glob("*.pb")))
needs_shared = pytest.mark.skipif(not MODEL_FILES, reason="the real models in ../shared/models are not here")


# --- nodes and graphs ------------------------------------------------------------------------------------------------


def graph(*nodes: Node, outputs: Iterable[str] | None = None) -> ModelGraph:
    """A graph of these nodes; its outputs are the sinks unless given."""
    return ModelGraph(nodes, outputs=outputs)


def const(name: str, values: Any, dtype: DType = DType.FLOAT) -> Node:
    return Node.const(name, Tensor.of(values, dtype))


def placeholder(name: str, shape: Iterable[int] | None, dtype: DType = DType.FLOAT) -> Node:
    return Node.make(name, "Placeholder", dtype=dtype, shape=Shape(None if shape is None else tuple(shape)))


def node(name: str, op: str, *inputs: str, **attrs: Attr) -> Node:
    """A float operation; ``T=...`` gives it another type."""
    return Node.make(name, op, inputs, **{"T": DType.FLOAT, **attrs})


def conv(
    name: str, source: str, weight: str, *, op: str = "Conv2D", stride: int = 1, padding: str = "SAME", **attrs: Attr
) -> Node:
    common: dict[str, Attr] = {"padding": padding.encode(), "data_format": b"NHWC", "strides": (1, stride, stride, 1)}
    return node(name, op, source, weight, **{**common, "dilations": (1, 1, 1, 1), **attrs})


class Net:
    """Grows a chain of layers behind a placeholder ``input``; ``top`` and ``shape`` are the chain's end.

    Every method returns the net, so that a network reads from left to right.
    """

    def __init__(self, shape: Iterable[int] = (1, 8, 8, 3), seed: int = 0) -> None:
        self.shape = tuple(shape)
        self.top = "input"
        self.random = np.random.default_rng(seed)
        self.nodes: dict[str, Node] = {"input": placeholder("input", self.shape)}

    def name(self, wanted: str) -> str:
        found = wanted
        count = 0
        while found in self.nodes:
            count += 1
            found = f"{wanted}_{count}"
        return found

    def add(self, made: Node) -> str:
        assert made.name not in self.nodes
        self.nodes[made.name] = made
        return made.name

    def const(self, name: str, values: Any, dtype: DType = DType.FLOAT) -> str:
        return self.add(const(name, values, dtype))

    def weights(self, name: str, *shape: int) -> str:
        """A constant of normal numbers whose layer keeps the size of its input."""
        fan_in = max(1, math.prod(shape[:-1]))
        return self.const(name, self.random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32))

    def vector(self, name: str, size: int, low: float = -0.5, high: float = 0.5) -> str:
        return self.const(name, self.random.uniform(low, high, size).astype(np.float32))

    def then(self, op: str, *others: str, name: str = "", **attrs: Attr) -> Net:
        """An operation on the top and ``others`` that keeps the shape."""
        self.top = self.add(node(self.name(name or op.lower()), op, self.top, *others, **attrs))
        return self

    def conv(self, channels: int, kernel: int = 3, stride: int = 1, name: str = "conv", groups: int = 1) -> Net:
        name = self.name(name)
        weight = self.weights(f"{name}/weights", kernel, kernel, self.shape[3] // groups, channels)
        self.top = self.add(conv(name, self.top, weight, stride=stride))
        self.shape = (self.shape[0], *(-(-size // stride) for size in self.shape[1:3]), channels)
        return self

    def depthwise(self, multiplier: int = 1, kernel: int = 3, name: str = "depthwise") -> Net:
        name = self.name(name)
        channels = self.shape[3]
        values = self.random.normal(0, (2 / kernel**2) ** 0.5, (kernel, kernel, channels, multiplier))
        weight = self.const(f"{name}/weights", values.astype(np.float32))
        self.top = self.add(conv(name, self.top, weight, op="DepthwiseConv2dNative"))
        self.shape = (*self.shape[:3], channels * multiplier)
        return self

    def dense(self, units: int, name: str = "dense") -> Net:
        name = self.name(name)
        weight = self.weights(f"{name}/weights", self.shape[-1], units)
        self.top = self.add(node(name, "MatMul", self.top, weight, transpose_a=False, transpose_b=False))
        self.shape = (*self.shape[:-1], units)
        return self

    def bias(self, name: str = "bias", op: str = "BiasAdd") -> Net:
        name = self.name(name)
        values = self.vector(f"{name}/values", self.shape[-1])
        return self.then(op, values, name=name, **({"data_format": b"NHWC"} if op == "BiasAdd" else {}))

    def batch_norm(self, name: str = "bn", op: str = "FusedBatchNormV3", epsilon: float = 1e-3) -> Net:
        name = self.name(name)
        size = self.shape[-1]
        inputs = [
            self.vector(f"{name}/gamma", size, 0.5, 1.5),
            self.vector(f"{name}/beta", size),
            self.vector(f"{name}/mean", size),
            self.vector(f"{name}/variance", size, 0.5, 2.0),
        ]
        typed = {} if op == "FusedBatchNorm" else {"U": DType.FLOAT}
        fixed: dict[str, Attr] = {"epsilon": float(np.float32(epsilon)), "is_training": False, "data_format": b"NHWC"}
        return self.then(op, *inputs, name=name, **fixed, **typed)

    def pool(self, op: str = "MaxPool") -> Net:
        window = (1, 2, 2, 1)
        self.then(op, padding=b"SAME", data_format=b"NHWC", ksize=window, strides=window)
        self.shape = (self.shape[0], *(-(-size // 2) for size in self.shape[1:3]), self.shape[3])
        return self

    def flatten(self) -> Net:
        shape = (self.shape[0], math.prod(self.shape[1:]))
        name = self.name("flatten")
        self.const(f"{name}/shape", np.array((-1, shape[1])), DType.INT32)
        self.then("Reshape", f"{name}/shape", name=name, Tshape=DType.INT32)
        self.shape = shape
        return self

    def concat(self, *others: str, channels: int) -> Net:
        """Join the top and ``others`` (together ``channels`` wide) along the last axis."""
        name = self.name("concat")
        axis = self.const(f"{name}/axis", len(self.shape) - 1, DType.INT32)
        joined = node(name, "ConcatV2", self.top, *others, axis, N=1 + len(others), Tidx=DType.INT32)
        self.top = self.add(joined)
        self.shape = (*self.shape[:-1], channels)
        return self

    def build(self, outputs: Iterable[str] | None = None) -> ModelGraph:
        """The graph; its output is the top unless given."""
        return ModelGraph(self.nodes.values(), outputs=(self.top,) if outputs is None else outputs)


def conv_net(seed: int = 0) -> ModelGraph:
    """input 1x8x8x3 -> Conv2D, BiasAdd, Relu, MaxPool, Reshape, MatMul, BiasAdd, Softmax (1x10, named ``softmax``)."""
    net = Net(seed=seed).conv(8).bias().then("Relu").pool().flatten().dense(10).bias(name="dense_bias")
    return net.then("Softmax").build()


def residual_net(seed: int = 0) -> ModelGraph:
    """A 3x3 convolution, a block of two with a shortcut around it (AddV2 named ``sum``), and Relu6."""
    net = Net(seed=seed).conv(6).bias().then("Relu")
    shortcut = net.top
    net.conv(6).bias().then("Relu").conv(6).bias()
    return net.then("AddV2", shortcut, name="sum").then("Relu6").build()


def concat_net(seed: int = 0) -> ModelGraph:
    """Two convolutions of one input joined by ConcatV2 along the channels, then a 1x1 convolution and AvgPool."""
    net = Net(seed=seed).conv(4).bias().then("Relu")
    left, start = net.top, net.nodes["input"]
    net.top, net.shape = "input", tuple(start.shape().dims)  # type: ignore[union-attr, arg-type]
    net.conv(5, kernel=1).bias().then("Relu")
    return net.concat(left, channels=9).conv(6, kernel=1).pool("AvgPool").build()


def batch_norm_net(seed: int = 0) -> ModelGraph:
    """Conv2D and DepthwiseConv2dNative, each with a FusedBatchNormV3 and Relu6 behind it."""
    net = Net(seed=seed).conv(6).batch_norm().then("Relu6").depthwise().batch_norm().then("Relu6")
    return net.build()


# --- random graphs ---------------------------------------------------------------------------------------------------

BLOCKS = ("conv", "conv_bias", "conv_bn", "depthwise", "relu", "pool", "identity", "check", "residual", "concat")


@st.composite
def graphs(draw: st.DrawFn, max_blocks: int = 6, blocks: tuple[str, ...] = BLOCKS) -> ModelGraph:
    """Small valid networks that TensorFlow runs: up to ``max_blocks`` of ``blocks`` (also "grouped", a convolution in
    groups), with or without a dense head, and sometimes a dead branch, a second output, or a control input."""
    channels = st.integers(1, 5)
    net = Net((1, 6, 6, draw(channels)), seed=draw(st.integers(0, 2**16)))
    for block in draw(st.lists(st.sampled_from(blocks), max_size=max_blocks)):
        if block.startswith("conv"):
            net.conv(draw(channels), kernel=draw(st.sampled_from((1, 3))))
            if block == "conv_bias":
                net.bias(op=draw(st.sampled_from(("BiasAdd", "AddV2"))))
            elif block == "conv_bn":
                net.batch_norm()
        elif block == "grouped":
            groups = draw(st.sampled_from([count for count in (1, 2, 3, 4) if net.shape[3] % count == 0]))
            net.conv(groups * draw(st.integers(1, 2)), groups=groups)
        elif block == "depthwise":
            net.depthwise(draw(st.integers(1, 2)))
        elif block == "relu":
            net.then(draw(st.sampled_from(("Relu", "Relu6"))))
        elif block == "pool":
            net.pool(draw(st.sampled_from(("MaxPool", "AvgPool"))))
        elif block == "identity":
            net.then("Identity")
        elif block == "check":
            net.then("CheckNumerics", message=b"not a number")
        elif block == "residual":
            before = net.top
            net.conv(net.shape[3]).then("AddV2", before, name="sum")
        else:
            before, width = net.top, net.shape[3]
            net.conv(2).concat(before, channels=width + 2)
    outputs = []
    if net.top != "input" and draw(st.booleans()):
        outputs.append(net.top)
    if draw(st.booleans()):
        net.flatten().dense(draw(st.integers(1, 8))).bias().then("Softmax")
    control = [f"^{next(iter(net.nodes))}"] if draw(st.booleans()) else []
    net.then("Identity", *control, name="output")
    outputs.append(net.top)
    if draw(st.booleans()):
        net.add(node("dead", "Neg", "input"))
    return net.build(dict.fromkeys(outputs))


# --- passes ----------------------------------------------------------------------------------------------------------


def applied(transform: Pass, model: ModelGraph) -> PassResult:
    """Apply a pass and check what holds of all: the input graph stays, the JSON form means the same, and the same
    input gives the same bytes (that the result is sound and explained is checked by ``apply`` itself)."""
    before = to_bytes(model)
    done = apply(transform, model)
    assert to_bytes(model) == before
    values = transform.to_json()
    assert make(values.pop("pass"), json.loads(json.dumps(values))) == transform
    again = apply(transform, parse_graph(before, outputs=model.outputs))
    assert to_bytes(again.graph) == to_bytes(done.graph)
    return done


# --- running ---------------------------------------------------------------------------------------------------------


@cache
def tensorflow() -> Any:
    """TensorFlow, imported once and quietly (4 s)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    return tf


def run_tf(
    model: ModelGraph, feeds: Mapping[str, Any] | None = None, outputs: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Run a graph in a session: output ("name" or "name:1", default: the graph's outputs) -> array.

    ``feeds`` default to :func:`synthetic_feeds`. Grappler's remapper is off: it ends the process on one of the real
    models (blazepose-heavy). One thread, for sums in one order.
    """
    tf = tensorflow()
    feeds = synthetic_feeds(model) if feeds is None else feeds
    wanted = list(model.outputs if outputs is None else outputs)
    definition = tf.compat.v1.GraphDef.FromString(to_bytes(model))
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1)
    config.graph_options.rewrite_options.remapping = 2  # RewriterConfig.OFF
    with warnings.catch_warnings(), tf.Graph().as_default() as loaded:
        warnings.simplefilter("ignore")
        tf.compat.v1.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=loaded, config=config) as session:
            values = session.run([_port(name) for name in wanted], {_port(k): v for k, v in feeds.items()})
    return dict(zip(wanted, values, strict=True))


def _port(name: str) -> str:
    ref = parse_ref(name)
    return f"{ref.name}:{ref.port}"


def synthetic_feeds(model: ModelGraph, seed: int = 0, size: int = 64) -> dict[str, np.ndarray]:
    """An array for every placeholder that something reads: uniform in [0, 1) for floats, small non-negative integers.

    An unknown batch is 1, an unknown height or width ``size``, any other unknown dimension 1; scalars (an unknown rank
    counts as one) are 1, which a ratio or a size can stand.
    """
    random = np.random.default_rng(seed)
    feeds = {}
    for name in model.inputs:
        found = model[name]
        if found.op == "PlaceholderWithDefault" or not (model.consumers[name] or name in model.outputs):
            continue
        dtype, shape = found.dtype("dtype") or DType.FLOAT, found.shape()
        dims = shape.dims if shape is not None and shape.dims is not None else ()
        image = len(dims) == 4
        known = [d if d >= 0 else size if image and axis in (1, 2) else 1 for axis, d in enumerate(dims)]
        assert dtype.numpy is not None
        if not known:
            feeds[name] = np.ones((), dtype.numpy)
        elif dtype == DType.BOOL:
            feeds[name] = random.random(known) < 0.5
        elif dtype.is_floating:
            feeds[name] = np.asarray(random.random(known)).astype(dtype.numpy)
        else:
            feeds[name] = np.asarray(random.integers(0, 8, known)).astype(dtype.numpy)
    return feeds


def sqnr_db(reference: np.ndarray, other: np.ndarray) -> float:
    """Signal to quantization noise, 10 log10(|reference|^2 / |reference - other|^2); infinite when they are equal."""
    signal = np.asarray(reference, np.float64)
    noise = float(np.sum((signal - np.asarray(other, np.float64)) ** 2))
    power = float(np.sum(signal**2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(power / noise) if power else -math.inf


def relative_error(reference: np.ndarray, other: np.ndarray) -> float:
    """The largest difference over the largest magnitude of ``reference``."""
    assert reference.shape == other.shape
    if reference.size == 0:
        return 0.0
    scale = float(np.max(np.abs(np.asarray(reference, np.float64)))) or 1.0
    return float(np.max(np.abs(np.asarray(reference, np.float64) - np.asarray(other, np.float64)))) / scale


def assert_same_numbers(
    before: ModelGraph, after: ModelGraph, tolerance: float = 0.0, feeds: Mapping[str, Any] | None = None
) -> None:
    """Run both and compare the outputs, place by place; ``tolerance`` is that of :func:`relative_error`."""
    feeds = synthetic_feeds(before) if feeds is None else feeds
    expected, found = run_tf(before, feeds), run_tf(after, feeds)
    for left, right in zip(before.outputs, after.outputs, strict=True):
        assert expected[left].dtype == found[right].dtype
        assert relative_error(expected[left], found[right]) <= tolerance, right


def real_model(name: str) -> ModelGraph:
    """One of the real models; skips the test where they are missing."""
    path = SHARED / "models" / f"{name}.pb"
    if not path.exists():
        pytest.skip("the real models in ../shared/models are not here")
    return read_graph(path)


def big_network(name: str) -> ModelGraph:
    """One of the literature's large networks, which ``packaging/big_networks.py`` builds with random weights."""
    script = runpy.run_path(str(Path(__file__).resolve().parents[1] / "packaging" / "big_networks.py"))
    made: ModelGraph = script["NETWORKS"][name]()
    return made
