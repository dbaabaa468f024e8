"""How long fused int8 networks take, as a part of what they take in float.

Float and int8 run in turns in one process, with oneDNN for both and Grappler as it comes. What is printed is the median
of the ratios of neighbouring runs. The limits are for two cores with AVX-512 VNNI; without VNNI the processor does not
allow them for networks of dense convolutions.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import apply, parse
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.pbio import parse_graph, read_graph, to_bytes
from compressor_gui.core.values import Shape
from tests.benchmarks.report import Row, main
from tests.support import SHARED, tensorflow

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


def fused(name: str, model: ModelGraph, picture: np.ndarray) -> ModelGraph:
    """The int8 graph, with ranges from one picture: they do not matter to the time."""
    wanted = FuseInt8().activations(model)
    found = runner(name, model, wanted, fetch=True)(picture)
    limits = ((min(float(v.min()), 0.0), max(float(v.max()), 0.01)) for v in found)
    return apply(FuseInt8(tuple(zip(wanted, limits, strict=True))), model).graph


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
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    remark = "" if "vnni" in flags else ", no VNNI"
    for name, model in networks():
        shape = model[model.inputs[0]].shape()
        assert shape is not None
        assert shape.dims is not None
        one = np.random.default_rng(0).uniform(-1, 1, (1, *shape.dims[1:])).astype(np.float32)
        small = fused(name, model, one)
        runs = tuple(runner(name, graph, graph.outputs, fetch=False) for graph in (model, small))
        share = len(to_bytes(small)) / len(to_bytes(model))
        yield Row(f"{name}: bytes of int8 / float", share, "", 0.27)
        for batch, must in zip((1, 8), MUST[name], strict=True):
            before, after, part = ratios(runs, np.repeat(one, batch, axis=0))  # type: ignore[arg-type]
            note = f"{1 / part:.2f} times faster, must be {must}: {before * 1e3:.1f} -> {after * 1e3:.1f} ms{remark}"
            yield Row(f"{name}, batch {batch}: int8 / float", part, "", 1 / must, note)


if __name__ == "__main__":
    main("Fused int8 against float", measure)
