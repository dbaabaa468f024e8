"""How long fused int8 networks take, as a part of what they take in float, and how accurate the trained ones are.

Float and int8 run in turns in one process, with oneDNN for both and Grappler as it comes; so do TensorFlow Lite's float
and int8 beside them. What is printed is the median of the ratios of neighbouring runs. The limits are for two cores
with AVX-512 VNNI; without VNNI the processor does not allow them for networks of dense convolutions. Accuracy is the
SQNR on five photographs, ranges from ten others.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compressor_gui.core.data import DataSpec
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import apply, parse
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.pbio import parse_graph, read_graph, to_bytes
from compressor_gui.core.values import Shape
from tests.benchmarks.int8_peers import TensorFlowLite
from tests.benchmarks.report import Row, main
from tests.support import SHARED, sqnr_db, tensorflow

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported, which happens later

RUNS = 15
MUST = {
    "ResNet50": (3.05, 3.5),
    "InceptionV3": (2.4, 2.5),
    "MobileNetV2": (1.3, 1.6),
    "posenet": (2.0, 2.6),
    "blazepose-heavy": (1.3, 1.6),
}
"""How many times faster than float, batch 1 and batch 8."""

PICTURES = {
    "posenet": DataSpec("images", "", input="image", height=385, width=385, mean=127.5, std=127.5),
    "blazepose-heavy": DataSpec("images", "", input="input_1", height=256, width=256, mean=0.0, std=255.0),
}
"""How the trained networks take photographs."""
CALIBRATION = 10

_NO_REMAPPER = ("blazepose-heavy",)
"""In float these end TensorFlow 2.21 when Grappler's remapper is on."""

Run = Callable[[np.ndarray], Any]


def keras_network(name: str) -> ModelGraph:
    """An application of Keras with random weights and statistics, frozen, its batch norms folded."""
    tf = tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(tf.keras.applications, name)(weights=None)
        random = np.random.default_rng(0)
        for layer in model.layers:
            if isinstance(layer, tf.keras.layers.BatchNormalization):
                *scale, _, _ = layer.get_weights()
                moments = (random.uniform(-0.3, 0.3, scale[0].shape), random.uniform(0.5, 2, scale[0].shape))
                layer.set_weights([*scale, *moments])
        spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="input")
        frozen = convert_variables_to_constants_v2(tf.function(model).get_concrete_function(spec))
    graph = parse_graph(frozen.graph.as_graph_def().SerializeToString())
    for transform in ("fold_constants", "fold_batch_norms"):
        graph = apply(parse(transform), graph).graph
    return graph


def of_any_batch(model: ModelGraph) -> ModelGraph:
    """The graph with an input whose batch is not fixed."""
    source = model[model.inputs[0]]
    shape = source.shape()
    assert shape is not None
    assert shape.dims is not None
    free = source.with_(attrs={"shape": Shape((-1, *shape.dims[1:]))})
    return ModelGraph((free if node is source else node for node in model.nodes), model.extras, model.outputs)


def networks() -> Iterator[tuple[str, ModelGraph]]:
    """Name and float graph."""
    for name in MUST:
        path = SHARED / "models" / f"{name}.pb"
        if not name[0].isupper() and not path.is_file():
            print(f"{path} is missing", file=sys.stderr)
            continue
        yield name, keras_network(name) if name[0].isupper() else of_any_batch(read_graph(path))


def runner(name: str, model: ModelGraph, outputs: tuple[str, ...], fetch: bool) -> Run:
    """Runs the graph in a session of its own; ``fetch`` gets the values, else they are computed only."""
    tf = tensorflow()
    config = tf.compat.v1.ConfigProto()
    if name in _NO_REMAPPER:
        config.graph_options.rewrite_options.remapping = 2  # RewriterConfig.OFF
    with warnings.catch_warnings(), tf.Graph().as_default() as loaded:
        warnings.simplefilter("ignore")
        tf.compat.v1.import_graph_def(tf.compat.v1.GraphDef.FromString(to_bytes(model)), name="")
        session = tf.compat.v1.Session(graph=loaded, config=config)
        tensors = [loaded.get_tensor_by_name(f"{name}:0") for name in outputs]
        wanted = tensors if fetch else [tensor.op for tensor in tensors]
        return session.make_callable(wanted, feed_list=[f"{model.inputs[0]}:0"])  # type: ignore[no-any-return]


def fused(name: str, model: ModelGraph, pictures: Sequence[np.ndarray]) -> ModelGraph:
    """The int8 graph, with the extremes over all pictures as ranges."""
    wanted = FuseInt8().activations(model)
    limits = dict.fromkeys(wanted, (0.0, 0.01))
    run = runner(name, model, wanted, fetch=True)
    for picture in pictures:
        for node, values in zip(wanted, run(picture), strict=True):
            low, high = limits[node]
            limits[node] = min(float(values.min()), low), max(float(values.max()), high)
    return apply(FuseInt8(tuple(limits.items()), without_vnni=not has_vnni()), model).graph


def has_vnni() -> bool:
    """Whether the processor says that it has AVX-512 VNNI or AVX-VNNI."""
    return Path("/proc/cpuinfo").exists() and "vnni" in Path("/proc/cpuinfo").read_text()


def photographs(name: str, model: ModelGraph) -> list[np.ndarray]:
    """Those of ../shared, as the network takes them."""
    tensorflow()  # before the engine imports it
    from compressor_gui.engine.dataset import open_dataset

    spec = replace(PICTURES[name], path=str(SHARED / "images"))
    return [dict(batch.feeds)[model.inputs[0]] for batch in open_dataset(spec, model, 1)]


def ratios(runs: tuple[Run, Run], picture: np.ndarray) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the second's part of the first in neighbouring runs."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS + 2):
        for run, found in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run(picture)
            found.append(time.perf_counter() - start)
    first, second = (found[2:] for found in seconds)
    part = statistics.median(b / a for a, b in zip(first, second, strict=True))
    return statistics.median(first), statistics.median(second), part


def measure() -> Iterator[Row]:
    """Every network at batch 1 and 8."""
    remark = f"VNNI: {'yes' if has_vnni() else 'no'}, load {os.getloadavg()[0]:.1f}"
    for name, model in networks():
        shape = model[model.inputs[0]].shape()
        assert shape is not None
        assert shape.dims is not None
        one = np.random.default_rng(0).uniform(-1, 1, (1, *shape.dims[1:])).astype(np.float32)
        pictures = photographs(name, model) if name in PICTURES else [one]
        small = fused(name, model, pictures[:CALIBRATION])
        peers = lite(model, pictures[:CALIBRATION])
        share = len(to_bytes(small)) / len(to_bytes(model))
        yield Row(f"{name}: bytes of int8 / float", share, "", 0.27)
        if name == "ResNet50":
            yield conversions(name, small)
        runs = tuple(runner(name, graph, graph.outputs, fetch=False) for graph in (model, small))
        for batch, must in zip((1, 8), MUST[name], strict=True):
            picture = np.repeat(one, batch, axis=0)
            before, after, part = ratios((runs[0], runs[1]), picture)
            beside = tuple(peer.runner(picture.shape) for peer in peers)
            note = f"{_times(before, after, part)}, must be {must} times; TensorFlow Lite "
            note += f"{_times(*ratios((beside[0], beside[1]), picture))}; " if beside else "does not convert it; "
            yield Row(f"{name}, batch {batch}: int8 / float", part, "", 1 / must, note + remark)
        if len(pictures) > CALIBRATION:
            yield from accuracy(name, model, small, peers, pictures[CALIBRATION:])


def conversions(name: str, small: ModelGraph) -> Row:
    """How many nodes still work out ranges or go back to float in a network that is 8-bit throughout."""
    ops = Counter(node.op for node in small.nodes)
    found = {op: ops[op] for op in ("RequantizationRange", "Dequantize")}
    return Row(f"{name}: RequantizationRange, Dequantize", sum(found.values()), "nodes", 1, f"{found}")


def lite(model: ModelGraph, examples: Sequence[np.ndarray]) -> tuple[TensorFlowLite, ...]:
    """TensorFlow Lite's float and int8; nothing where it does not convert the graph."""
    try:
        return TensorFlowLite(model, None), TensorFlowLite(model, examples)
    except Exception as error:  # the converter has many kinds
        print(f"TensorFlow Lite: {str(error).splitlines()[0]}", file=sys.stderr)
        return ()


def accuracy(
    name: str, model: ModelGraph, small: ModelGraph, peers: Sequence[TensorFlowLite], pictures: Sequence[np.ndarray]
) -> Iterator[Row]:
    """The SQNR of every output, of the fused graph and of TensorFlow Lite's int8."""
    float_run, int8_run = (runner(name, graph, graph.outputs, fetch=True) for graph in (model, small))
    expected, found = ([run(picture) for picture in pictures] for run in (float_run, int8_run))
    theirs = [peers[1].values(picture) for picture in pictures] if peers else []
    for at, output in enumerate(model.outputs):
        whole = np.concatenate([values[at] for values in expected])
        db = sqnr_db(whole, np.concatenate([values[at] for values in found]))
        note = ""
        if theirs:
            note = f"TensorFlow Lite {sqnr_db(whole, np.concatenate([values[output] for values in theirs])):.1f} dB"
        yield Row(f"{name}: {output.rpartition('/')[0].rpartition('/')[2] or output}", db, "dB", None, note)


def _times(before: float, after: float, part: float) -> str:
    return f"{1 / part:.2f} times faster ({before * 1e3:.1f} -> {after * 1e3:.1f} ms)"


if __name__ == "__main__":
    main("Fused int8 against float", measure)
