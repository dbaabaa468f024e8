"""Small networks to distil a large one into, each fed and asked as the large one is, so that it can take its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import find_layers
from compressor_gui.core.network_builder import NetworkBuilder
from compressor_gui.core.passes import apply
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.remove_channels import RemoveChannels
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType, Tensor


class _Asked(NamedTuple):
    """What a teacher is fed and asked: its placeholder, the shape of one example, its output, how many classes."""

    source: Node
    shape: tuple[int, ...]
    output: str
    classes: int


@dataclass(frozen=True)
class Offer:
    """What a student would be, before it is trained: its weights and its file's bytes, or the ``problem`` with it."""

    weights: int = 0
    size: int = 0
    problem: str = ""


def offer(teacher: ModelGraph, student: str) -> Offer:
    """What ``student``, one of :data:`STUDENTS` or a frozen graph's file, would be beside this teacher."""
    try:
        made = make_student(teacher, student) if student in STUDENTS else pbio.read_graph(student)
    except CompressorError as error:
        return Offer(problem=str(error))
    return Offer(sum(layer.parameters for layer in find_layers(made)), pbio.byte_size(made))


def make_student(teacher: ModelGraph, kind: str, seed: int = 0) -> ModelGraph:
    """A network of one of :data:`STUDENTS` with the teacher's placeholder, and its output's name and classes.

    Its weights are random (He et al., 2015), except for those of ``width_...``, which are the teacher's channels of the
    largest norm. Raises CompressorError where the teacher is no classifier with one input, or ``kind`` is unknown.
    """
    if kind not in STUDENTS:
        raise CompressorError(f"there is no student {kind!r}", hint=f"there are {', '.join(STUDENTS)}, or a file")
    if kind in _WIDTHS:
        folded = apply(FoldBatchNorms(), teacher).graph
        return apply(RemoveChannels(share=1 - _WIDTHS[kind]), folded).graph
    asked = _asked(teacher)
    if len(asked.shape) != 3 and kind != "shallow":
        raise CompressorError(f"a {kind} student needs pictures", where=asked.source.name, hint="shallow takes vectors")
    net = NetworkBuilder(asked.source, asked.shape, seed)
    scores = _BUILT[kind](net, asked.source.name, asked.classes)
    net.add(asked.output, "Softmax", [scores], net.shapes[scores])
    return ModelGraph(net.nodes, outputs=(asked.output,))


def randomised(graph: ModelGraph, seed: int = 0) -> ModelGraph:
    """The same network before any training: normal weights that keep the variance (He et al., 2015), biases zero."""
    edit, random = Edit(graph), np.random.default_rng(seed)
    for layer in find_layers(graph):
        shape = layer.tensor.array.shape
        inputs = shape[0] * shape[1] if layer.op == "DepthwiseConv2dNative" else layer.parameters // shape[-1]
        values = random.standard_normal(shape, np.float32) * np.float32((2 / inputs) ** 0.5)
        changes = {layer.weight: values}
        if layer.bias is not None:
            changes[layer.bias] = np.zeros_like(graph[layer.bias].tensor.array)  # type: ignore[union-attr]
        for name, array in changes.items():
            edit.replace(edit[name].with_(attrs={"value": Tensor.of(array, layer.tensor.dtype)}))
    return edit.finish()


def _asked(teacher: ModelGraph) -> _Asked:
    sources = [teacher[name] for name in teacher.inputs if teacher.consumers[name]]
    if len(sources) != 1 or sources[0].dtype("dtype") != DType.FLOAT:
        raise CompressorError("the teacher must have one input, of floats", hint="give a student as a file")
    stated = sources[0].shape()
    shape = stated.dims[1:] if stated is not None and stated.dims else ()
    if not shape or -1 in shape or len(shape) not in (1, 3):
        raise CompressorError(
            "the size of its input is not known", where=sources[0].name, hint="give a student as a file"
        )
    output = next((name for name in teacher.outputs if teacher[name].op == "Softmax"), teacher.outputs[0])
    found = infer_shapes(teacher).get(output, ())
    dims = found[0].dims if found else None
    if dims is None or len(dims) != 2 or dims[1] < 2:
        raise CompressorError("its output is not one score a class", where=output, hint="width_0.5 keeps any outputs")
    return _Asked(sources[0], shape, output, dims[1])


def _shallow(net: NetworkBuilder, x: str, classes: int) -> str:
    """Two convolutions and a fully connected layer; of vectors, one hidden layer of 32."""
    if len(net.shapes[x]) == 1:
        return net.dense(net.dense(x, "student/hidden", 32), "student/scores", classes, relu=False)
    x = net.conv(net.conv(x, "student/conv1", 8, 3, 2), "student/conv2", 16, 3, 2)
    while net.shapes[x][0] > 8:
        x = net.pool(x, f"student/pool{net.shapes[x][0]}", 2)
    return net.dense(net.flatten(x), "student/scores", classes, relu=False)


def _depthwise(net: NetworkBuilder, x: str, classes: int) -> str:
    """A. Howard et al., MobileNets, 2017: depthwise 3x3 and 1x1 convolutions in turns."""
    x = net.conv(x, "student/stem", 16, 3, 2)
    for block, (filters, stride) in enumerate(((32, 2), (48, 1), (64, 2), (64, 1)), start=1):
        x = net.conv(net.depthwise(x, f"student/depthwise{block}", stride), f"student/pointwise{block}", filters, 1)
    return net.dense(net.mean(x), "student/scores", classes, relu=False)


def _fire(net: NetworkBuilder, x: str, classes: int) -> str:
    """F. Iandola et al., SqueezeNet, 2016: few 1x1 filters, then 1x1 and 3x3 ones side by side."""
    x = net.conv(x, "student/stem", 16, 3, 2)
    for block, (squeeze, expand) in enumerate(((8, 16), (8, 16), (12, 32)), start=1):
        name = f"student/fire{block}"
        x = net.conv(x, f"{name}/squeeze1x1", squeeze, 1)
        x = net.concat([net.conv(x, f"{name}/expand{size}x{size}", expand, size) for size in (1, 3)], f"{name}/concat")
        if block == 2:
            x = net.pool(x, "student/pool", padding="SAME")
    return net.mean(net.conv(x, "student/scores", classes, 1, relu=False))


_WIDTHS = {"width_0.5": 0.5, "width_0.25": 0.25}
_BUILT: dict[str, Callable[[NetworkBuilder, str, int], str]] = {
    "shallow": _shallow,
    "depthwise": _depthwise,
    "fire": _fire,
}
STUDENTS = (*_WIDTHS, *_BUILT)
"""The kinds of students, by name."""
