"""A new classifier on a trained trunk: where the trunk ends, what the top's weights are, and the graph of both.

As TensorFlow's ``retrain.py`` does it: the trunk stays as it is, one fully connected layer and a softmax are trained on
what it puts out (the *bottleneck*).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node, parse_ref
from compressor_gui.core.layers import find_layers
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType, Tensor

MOMENTUM = 0.9
_SCOPE = "final_training_ops"


def find_bottleneck(graph: ModelGraph, wanted: str = "") -> str:
    """The tensor at which the trunk ends: the one that is ``wanted``, or what the last MatMul or 1x1 convolution reads.

    Raises CompressorError where it is not in the graph, or none can be found.
    """
    if wanted:
        ref = parse_ref(wanted.removeprefix("import/"))
        if ref.name not in graph:
            raise CompressorError(f"there is no node {ref.name!r}", where="bottleneck", hint="inspect lists the layers")
        return str(ref)
    for layer in reversed(find_layers(graph)):
        node = graph[layer.name]
        one = node.op == "Conv2D" and layer.tensor.array.shape[:2] == (1, 1)
        if node.op == "MatMul" or one:
            return str(node.data_refs[0])
    raise CompressorError("no classifier is found at whose input the trunk would end", hint="name the bottleneck")


def pooled(bottleneck: np.ndarray) -> np.ndarray:
    """Bottlenecks [n, d], or [n, h, w, d] by their mean over the picture, as float32 [n, d]. Raises CompressorError for
    other ranks."""
    if bottleneck.ndim == 4:
        bottleneck = bottleneck.mean(axis=(1, 2))
    if bottleneck.ndim != 2:
        words = f"it has the shape {list(bottleneck.shape)}, not one vector or picture an example"
        raise CompressorError(words, where="bottleneck", hint="name another tensor")
    return np.ascontiguousarray(bottleneck, np.float32)


@dataclass(frozen=True, eq=False)
class Top:
    """A fully connected layer: ``weights`` [d, classes] and ``biases`` [classes], float32."""

    weights: np.ndarray
    biases: np.ndarray

    def scores(self, bottlenecks: np.ndarray) -> np.ndarray:
        """Logits [n, classes] of [n, d]."""
        scores: np.ndarray = bottlenecks @ self.weights + self.biases
        return scores

    def accuracy(self, bottlenecks: np.ndarray, labels: np.ndarray) -> float:
        """The share of examples whose highest score is their class's."""
        return float((self.scores(bottlenecks).argmax(axis=1) == labels).mean())


@dataclass(frozen=True)
class TopStep:
    """A step of training has ended: its number, and the mean cross entropy, in nats, since the last one told."""

    step: int
    loss: float
    top: Top


def train_top(
    bottlenecks: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    steps: int,
    rate: float,
    batch: int,
    every: int,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Iterator[TopStep]:
    """Multinomial logistic regression by stochastic gradient descent with momentum; a step is told ``every`` so many,
    and the last.

    ``bottlenecks`` [n, d] float32, ``labels`` [n] from 0 to ``classes`` - 1. Features are brought to mean 0 and
    deviation 1 meanwhile, which makes one ``rate`` fit all trunks; the top that is told takes them as they are.
    """
    mean = bottlenecks.mean(axis=0)
    scale = 1 / np.maximum(bottlenecks.std(axis=0), 1e-6)
    random = np.random.default_rng(seed)
    weights = random.normal(0, 0.001, (bottlenecks.shape[1], classes)).astype(np.float32)
    biases = np.zeros(classes, np.float32)
    moved = [np.zeros_like(weights), np.zeros_like(biases)]
    losses: list[float] = []
    for step in range(1, steps + 1):
        check()
        chosen = random.integers(0, len(bottlenecks), min(batch, len(bottlenecks)))
        inputs = (bottlenecks[chosen] - mean) * scale
        scores = inputs @ weights + biases
        scores -= scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        shares /= shares.sum(axis=1, keepdims=True)
        losses.append(float(-np.log(np.maximum(shares[np.arange(len(chosen)), labels[chosen]], 1e-30)).mean()))
        shares[np.arange(len(chosen)), labels[chosen]] -= 1
        shares /= len(chosen)
        for value, past, gradient in zip(
            (weights, biases), moved, (inputs.T @ shares, shares.sum(axis=0)), strict=True
        ):
            past *= MOMENTUM
            past -= rate * gradient
            value += past
        if step % every == 0 or step == steps:
            plain = weights * scale[:, None]
            yield TopStep(step, math.fsum(losses) / len(losses), Top(plain, biases - mean @ plain))
            losses.clear()


def with_top(graph: ModelGraph, bottleneck: str, top: Top, name: str) -> ModelGraph:
    """The trunk with ``top`` and a Softmax ``name`` at its end, its only output; what it does not need is gone.

    Raises CompressorError where a node of the trunk has that name.
    """
    edit = Edit(graph)
    source = parse_ref(bottleneck)
    if name in graph:
        raise CompressorError(f"the trunk has a node {name!r} already", hint="choose another final_tensor_name")
    found = infer_shapes(graph).get(source.name, ())
    dims = found[source.port].dims if source.port < len(found) else None
    read = bottleneck
    if dims is not None and len(dims) == 4:
        axes = _constant(edit, f"{_SCOPE}/axes", Tensor.of((1, 2), DType.INT32), source.name)
        mean = Node.make(edit.free_name(f"{_SCOPE}/pool"), "Mean", [read, axes], T=DType.FLOAT, Tidx=DType.INT32,
                         keep_dims=False)  # fmt: skip
        read = edit.add(mean, [source.name])
    weights = _constant(edit, f"{_SCOPE}/weights/final_weights", Tensor.of(top.weights, DType.FLOAT), source.name)
    biases = _constant(edit, f"{_SCOPE}/biases/final_biases", Tensor.of(top.biases, DType.FLOAT), source.name)
    product = Node.make(edit.free_name(f"{_SCOPE}/Wx_plus_b/MatMul"), "MatMul", [read, weights], T=DType.FLOAT,
                        transpose_a=False, transpose_b=False)  # fmt: skip
    edit.add(product, [source.name])
    total = Node.make(edit.free_name(f"{_SCOPE}/Wx_plus_b/add"), "BiasAdd", [product.name, biases], T=DType.FLOAT,
                      data_format=b"NHWC")  # fmt: skip
    edit.add(total, [source.name])
    edit.add(Node.make(name, "Softmax", [total.name], T=DType.FLOAT), [source.name])
    whole = edit.finish(outputs=(name,))
    needed, waiting = {name}, [name]
    while waiting:
        for ref in whole[waiting.pop()].refs:
            if ref.name not in needed:
                needed.add(ref.name)
                waiting.append(ref.name)
    kept = [node for node in whole.topological() if node.name in needed]
    return ModelGraph(kept, whole.extras, (name,))


def _constant(edit: Edit, name: str, tensor: Tensor, origin: str) -> str:
    return edit.add(Node.const(edit.free_name(name), tensor), [origin])
