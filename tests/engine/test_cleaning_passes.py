"""The passes that clean a graph up, against TensorFlow: what they leave computes what was computed before."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor_gui.core.evaluate import compute
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.fold_constants import FoldConstants
from compressor_gui.core.passes.remove_nodes import RemoveNodes
from compressor_gui.core.passes.rename_outputs import RenameOutputs
from compressor_gui.core.passes.strip_unused_nodes import StripUnusedNodes
from compressor_gui.core.pbio import parse_graph, read_graph
from compressor_gui.core.values import Attr, DType, Tensor
from tests.support import (
    MODEL_FILES,
    Net,
    applied,
    graph,
    graphs,
    needs_shared,
    relative_error,
    run_tf,
    synthetic_feeds,
    tensorflow,
)

pytestmark = pytest.mark.tensorflow

EXACT: tuple[Pass, ...] = (RemoveNodes(), FoldConstants(), StripUnusedNodes())


def assert_equal(before: ModelGraph, after: ModelGraph, tolerance: float = 0.0, feeds: Any = None) -> None:
    """Compare all outputs; ``tolerance`` is the largest difference over the largest magnitude."""
    feeds = synthetic_feeds(before) if feeds is None else feeds
    expected, found = run_tf(before, feeds), run_tf(after, feeds)
    for name in before.outputs:
        assert expected[name].dtype == found[name].dtype
        assert relative_error(expected[name], found[name]) <= tolerance, name


# --- one operation at a time -----------------------------------------------------------------------------------------

FLOAT, INT = DType.FLOAT, DType.INT32
RANDOM = np.random.default_rng(3)
REALS = RANDOM.normal(0, 3, (3, 4)).astype(np.float32)
WHOLE = RANDOM.integers(-9, 9, (3, 4)).astype(np.int32)
BINARY = ("AddV2", "Sub", "Mul", "Maximum", "Minimum")


def t(values: Any, dtype: DType = INT) -> Tensor:
    return Tensor.of(values, dtype)


CASES: list[tuple[str, list[Tensor], dict[str, Attr]]] = [
    *((op, [t(REALS, FLOAT), t(REALS[:1] + 1, FLOAT)], {"T": FLOAT}) for op in (*BINARY, "Add", "RealDiv")),
    *((op, [t(WHOLE), t(WHOLE[1] | 1)], {"T": INT}) for op in (*BINARY, "FloorDiv", "FloorMod")),
    ("Mul", [t([2**30, -(2**31)]), t([4, -1])], {"T": INT}),
    *((op, [t(np.abs(REALS), FLOAT)], {"T": FLOAT}) for op in ("Neg", "Square", "Sqrt", "Identity", "Snapshot")),
    ("Prod", [t(WHOLE), t([0])], {"T": INT, "Tidx": INT, "keep_dims": True}),
    ("Sum", [t(WHOLE), t([-1])], {"T": INT, "Tidx": INT, "keep_dims": False}),
    ("Reshape", [t(REALS, FLOAT), t([2, -1])], {"T": FLOAT, "Tshape": INT}),
    ("Transpose", [t(REALS, FLOAT), t([1, 0])], {"T": FLOAT, "Tperm": INT}),
    ("ExpandDims", [t(REALS, FLOAT), t(-1)], {"T": FLOAT, "Tdim": INT}),
    ("Squeeze", [t(REALS[None, :1], FLOAT)], {"T": FLOAT, "squeeze_dims": (0,)}),
    ("Squeeze", [t(REALS[None, :1], FLOAT)], {"T": FLOAT, "squeeze_dims": ()}),
    ("ConcatV2", [t(REALS, FLOAT), t(REALS, FLOAT), t(-1)], {"T": FLOAT, "N": 2, "Tidx": INT}),
    ("Concat", [t(1), t(REALS, FLOAT), t(REALS, FLOAT)], {"T": FLOAT, "N": 2}),
    ("Pack", [t(REALS, FLOAT), t(REALS, FLOAT)], {"T": FLOAT, "N": 2, "axis": 1}),
    ("Fill", [t([2, 3]), t(1.5, FLOAT)], {"T": FLOAT, "index_type": INT}),
    ("BroadcastTo", [t(REALS[:1], FLOAT), t([3, 4])], {"T": FLOAT, "Tidx": INT}),
    ("Tile", [t(REALS, FLOAT), t([2, 1])], {"T": FLOAT, "Tmultiples": INT}),
    ("Range", [t(7), t(-4), t(-3)], {"Tidx": INT}),
    *(
        ("StridedSlice", [t(REALS, FLOAT), t(begin), t(end), t(step)], {"T": FLOAT, "Index": INT, **masks})
        for begin, end, step, masks in (
            ([0, 1], [2, 4], [1, 2], {}),
            ([1], [2], [1], {"shrink_axis_mask": 1}),
            ([-1], [0], [1], {"shrink_axis_mask": 1}),
            ([0, 3], [0, 0], [1, -1], {"begin_mask": 1, "end_mask": 3}),
            ([0, 0, 1], [0, 0, 99], [1, 1, 1], {"new_axis_mask": 1, "ellipsis_mask": 2}),
        )
    ),
    ("Slice", [t(REALS, FLOAT), t([1, 0]), t([-1, 2])], {"T": FLOAT, "Index": INT}),
    ("GatherV2", [t(REALS, FLOAT), t([[2, 0]]), t(1)], {"Tparams": FLOAT, "Tindices": INT, "Taxis": INT}),
    ("Pad", [t(REALS, FLOAT), t([[1, 0], [0, 2]])], {"T": FLOAT, "Tpaddings": INT}),
    ("PadV2", [t(REALS, FLOAT), t([[1, 0], [0, 2]]), t(7.0, FLOAT)], {"T": FLOAT, "Tpaddings": INT}),
    ("Cast", [t(REALS, FLOAT)], {"SrcT": FLOAT, "DstT": INT}),
    ("Cast", [t(REALS, FLOAT)], {"SrcT": FLOAT, "DstT": DType.HALF}),
    ("Cast", [t(REALS, FLOAT)], {"SrcT": FLOAT, "DstT": DType.BFLOAT16}),
    ("Cast", [t(WHOLE)], {"SrcT": INT, "DstT": FLOAT}),
    ("Cast", [t(WHOLE)], {"SrcT": INT, "DstT": DType.BOOL}),
    ("Cast", [t([16777217, -(2**31)])], {"SrcT": INT, "DstT": FLOAT}),
    ("Shape", [t(REALS, FLOAT)], {"T": FLOAT, "out_type": DType.INT64}),
    ("Size", [t(REALS, FLOAT)], {"T": FLOAT, "out_type": INT}),
]  # fmt: skip


def test_each_operation_gives_tensorflows_bits() -> None:
    nodes: list[Node] = []
    mine: dict[str, np.ndarray] = {}
    for number, (op, inputs, attrs) in enumerate(CASES):
        names = [f"{op}_{number}/{i}" for i in range(len(inputs))]
        made = Node.make(f"{op}_{number}", op, names, **attrs)
        nodes += [*(Node.const(name, x) for name, x in zip(names, inputs, strict=True)), made]
        found = compute(made, inputs)
        assert found is not None, op
        mine[made.name] = found.array
    theirs = run_tf(graph(*nodes), {}, mine)
    for name, array in mine.items():
        assert theirs[name].shape == array.shape, name
        assert theirs[name].tobytes() == np.ascontiguousarray(array).tobytes(), name


def test_rsqrt_is_within_two_units_in_the_last_place() -> None:
    values = t(np.abs(RANDOM.normal(0, 3, 1000)).astype(np.float32), FLOAT)
    made = Node.make("y", "Rsqrt", ["x"], T=FLOAT)
    found = compute(made, [values])
    assert found is not None
    theirs = run_tf(graph(Node.const("x", values), made), {})["y"]
    np.testing.assert_array_max_ulp(theirs, found.array, maxulp=2)


# --- whole graphs ----------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(graphs(), st.sampled_from(EXACT))
def test_random_graphs_compute_the_same_bits(model: ModelGraph, transform: Pass) -> None:
    assert_equal(model, applied(transform, model).graph)


@settings(max_examples=20)
@given(graphs())
def test_random_graphs_with_folded_batch_norms(model: ModelGraph) -> None:
    assert_equal(model, applied(FoldBatchNorms(), model).graph, 1e-5)


def test_a_renamed_output_gives_the_same() -> None:
    before = Net().conv(3).bias().then("Relu").build()
    done = applied(RenameOutputs(names={"relu": "y", "input": "picture"}), before)
    expected = run_tf(before)["relu"]
    np.testing.assert_array_equal(run_tf(done.graph)["y"], expected)


def test_an_input_in_the_middle_can_be_fed() -> None:
    before = Net().conv(3).bias().then("Relu").build()
    done = applied(StripUnusedNodes(inputs=("bias",)), before)
    value = run_tf(before, outputs=["bias"])["bias"]
    np.testing.assert_array_equal(run_tf(done.graph, {"bias": value})["relu"], run_tf(before)["relu"])


def frozen(build: Callable[[Any], Any], *shape: int | None) -> ModelGraph:
    """A Keras model, its numbers made random, as ``convert_variables_to_constants_v2`` freezes it."""
    tf = tensorflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        inputs = tf.keras.Input(shape[1:])
        model = tf.keras.Model(inputs, build(inputs))
        random = np.random.default_rng(5)
        for weight in model.weights:
            low, high = (0.5, 2.0) if "variance" in weight.path or "gamma" in weight.path else (-0.5, 0.5)
            weight.assign(random.uniform(low, high, weight.shape))
        function = tf.function(lambda x: model(x, training=False))
        concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="x"))
        definition = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    return parse_graph(definition.SerializeToString())


def _layers() -> Any:
    return tensorflow().keras.layers


IMAGE = (None, 8, 8, 3)


def _norm(**options: bool) -> Any:
    return _layers().BatchNormalization(**options)


KERAS: dict[str, tuple[Callable[[Any], Any], tuple[int | None, ...], int]] = {
    "conv": (lambda x: _layers().ReLU()(_norm()(_layers().Conv2D(4, 3)(x))), IMAGE, 1),
    "conv without scale": (lambda x: _norm(scale=False)(_layers().Conv2D(4, 3, use_bias=False)(x)), IMAGE, 1),
    "conv without center": (lambda x: _norm(center=False, scale=False)(_layers().Conv2D(4, 3)(x)), IMAGE, 1),
    "separable": (lambda x: _norm()(_layers().SeparableConv2D(4, 3, depth_multiplier=2)(x)), IMAGE, 1),
    "depthwise": (lambda x: _norm()(_layers().DepthwiseConv2D(3, depth_multiplier=2)(x)), IMAGE, 1),
    "dilated": (
        lambda x: _norm()(_layers().Conv2D(4, 3, dilation_rate=2, padding="same")(x)),
        (None, None, None, 3),
        1,
    ),
    "dense": (lambda x: _layers().Dropout(0.5)(_norm()(_layers().Dense(4)(x))), (None, 8), 1),
    "transposed": (lambda x: _norm()(_layers().Conv2DTranspose(5, 3, strides=2)(x)), IMAGE, 1),
    "two": (
        lambda x: _layers().Dense(3)(_norm()(_layers().Conv2D(4, 1)(_norm()(_layers().Conv2D(6, 3)(x))))),
        IMAGE,
        2,
    ),
}


@pytest.mark.parametrize("case", KERAS)
def test_batch_norms_that_keras_3_freezes(case: str) -> None:
    build, shape, norms = KERAS[case]
    before = frozen(build, *shape)
    assert sum(n.op == "Rsqrt" for n in before.nodes) == norms
    done = applied(FoldBatchNorms(), before)
    assert not {"Rsqrt", "Mul"} & set(done.graph.op_counts)
    feeds = {"x": np.random.default_rng(1).normal(0, 1, [d or 8 for d in shape]).astype(np.float32)}
    assert_equal(before, done.graph, 1e-5, feeds)


def test_the_fused_forms_in_tensorflow() -> None:
    before = (
        Net().conv(4).batch_norm(op="FusedBatchNorm").then("Relu")
        .depthwise(2).bias().batch_norm(op="FusedBatchNormV2").then("Relu")
        .conv(5, kernel=1).batch_norm().build()
    )  # fmt: skip
    done = applied(FoldBatchNorms(), before)
    assert not any(op.startswith("FusedBatchNorm") for op in done.graph.op_counts)
    assert_equal(before, done.graph, 1e-5)


def _branches_and_a_loop() -> ModelGraph:
    """Version 1 control flow: a conditional whose branches hold constants, and a loop that doubles till it is large."""
    tf = tensorflow()

    def tripled() -> Any:
        return tf.identity(x) * (tf.constant(2.0) + tf.constant(1.0))

    def fixed() -> Any:
        return tf.identity(tf.constant(5.0) * 7.0)

    def doubled(value: Any) -> Any:
        return tf.identity(value * tf.sqrt(tf.constant(4.0)))

    with warnings.catch_warnings(), tf.Graph().as_default() as made:
        warnings.simplefilter("ignore")
        tf.compat.v1.disable_control_flow_v2()
        try:
            x = tf.compat.v1.placeholder(tf.float32, (), "x")
            pred = tf.compat.v1.placeholder(tf.bool, (), "pred")
            chosen = tf.compat.v1.cond(
                pred,
                lambda: tf.identity(x) * (tf.constant(2.0) + tf.constant(1.0)),
                lambda: tf.identity(tf.constant(5.0) * 7.0),
            )
            grown = tf.compat.v1.while_loop(
                lambda v: v < 100.0, lambda v: tf.identity(v * tf.sqrt(tf.constant(4.0))), [chosen]
            )
            tf.identity(grown, "y")
        finally:
            tf.compat.v1.enable_control_flow_v2()
    return parse_graph(made.as_graph_def().SerializeToString(), outputs=["y"])


@pytest.mark.parametrize("transform", [*EXACT, FoldBatchNorms()], ids=lambda p: p.name)
@pytest.mark.parametrize("pred", [True, False])
def test_branches_and_loops(transform: Pass, pred: bool) -> None:
    before = _branches_and_a_loop()
    assert {"Switch", "Merge", "Enter", "NextIteration"} <= set(before.op_counts)
    assert_equal(before, applied(transform, before).graph, feeds={"x": np.float32(3), "pred": pred})


@needs_shared
@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda path: path.stem)
def test_real_models(path: Any) -> None:
    """All of them, one behind the other: within 1e-5 of what the file computes."""
    before = read_graph(path)
    after = before
    for transform in (*EXACT, FoldBatchNorms()):
        after = applied(transform, after).graph
    assert_equal(before, after, 1e-5)
