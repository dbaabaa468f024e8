"""The ranges that a graph carries itself: those of quantization-aware training, and of QDQ graphs.

A *carrier* is a node that rounds a float tensor to the levels of 8 bits and puts out floats again: a FakeQuant, a
QuantizeAndDequantize with given range, or a Dequantize of what a QuantizeV2 has just made. Carriers of fewer bits, or
whose range is found at run time, are none. Level 0 is always the number 0, to which ranges are nudged as TensorFlow's
kernels do it (``fake_quant_ops_functor.h``, ``quantize_and_dequantize_op.h``, ``quantize_op.cc``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node, Ref
from compressor_gui.core.memo import by_identity
from compressor_gui.core.values import DType, Tensor

_FAKE = ("FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")
_ROUND_TRIPS = ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4")


class Carrier(NamedTuple):
    """``source`` is what is rounded: to whole numbers of ``step``, from ``lowest`` to ``highest``.

    These are float64 scalars, or vectors along ``axis``.
    """

    source: Ref
    step: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    axis: int = -1

    @property
    def range(self) -> tuple[float, float] | None:
        """What the lowest and the highest of 256 codes stand for; None where each channel has a range."""
        if self.step.ndim:
            return None
        step, lowest, highest = float(self.step), float(self.lowest), float(self.highest)
        if highest - lowest < 255:  # a narrow range, which leaves one code out
            lowest, highest = (lowest - 1, highest) if lowest < 0 else (lowest, highest + 1)
        return lowest * step, highest * step

    def rounded(self, values: np.ndarray) -> OnGrid:
        """What the carrier makes of a constant."""
        step, lowest, highest = (self._along(part, values) for part in (self.step, self.lowest, self.highest))
        levels = np.clip(np.rint(values / step), lowest, highest)
        return OnGrid(Tensor.of((levels * step).astype(np.float32), DType.FLOAT), np.broadcast_to(step, values.shape))

    def _along(self, part: np.ndarray, values: np.ndarray) -> np.ndarray:
        if not part.ndim:
            return part
        return part.reshape([-1 if axis == self.axis % values.ndim else 1 for axis in range(values.ndim)])


class OnGrid(NamedTuple):
    """A constant that was rounded, float32, and the step of each of its values."""

    tensor: Tensor
    step: np.ndarray


def carrier(graph: ModelGraph, node: Node) -> Carrier | None:
    """What a node carries; None where it is no carrier."""
    if node.op in _FAKE:
        return _fake_quant(graph, node)
    if node.op in _ROUND_TRIPS:
        return _quantize_and_dequantize(graph, node)
    return _dequantize(graph, node) if node.op == "Dequantize" else None


@by_identity
def carried_ranges(graph: ModelGraph) -> Mapping[str, tuple[float, float]]:
    """Node -> the range of its first output: of carriers, and of what they read (where that has several, all)."""
    found: dict[str, tuple[float, float]] = {}
    for node in graph.nodes:
        carried = carrier(graph, node)
        limits = carried.range if carried is not None else None
        if carried is None or limits is None or node.name in carried_constants(graph):
            continue
        found[node.name] = limits
        if carried.source.port == 0:
            low, high = found.get(carried.source.name, (0.0, 0.0))
            found[carried.source.name] = min(low, limits[0]), max(high, limits[1])
    return found


@by_identity
def carried_constants(graph: ModelGraph) -> Mapping[str, OnGrid]:
    """Carrier of a constant (weights) -> its rounded value."""
    found: dict[str, OnGrid] = {}
    for node in graph.nodes:
        carried = carrier(graph, node)
        value = graph.constant(graph[node.name], 0) if carried is not None else None
        if node.op == "Dequantize" and carried is not None:
            value = graph.constant(graph[node.data_refs[0].name], 0)
        if carried is None or value is None or value.dtype != DType.FLOAT or not np.isfinite(value.array).all():
            continue
        size = carried.step.size
        if not carried.step.ndim or (value.array.ndim and size == value.array.shape[carried.axis % value.array.ndim]):
            found[node.name] = carried.rounded(value.array.astype(np.float64))
    return found


def weights_of(graph: ModelGraph, layer: Node) -> Tensor | None:
    """The constant weights of a layer, rounded where they have a carrier."""
    rounded = carried_constants(graph).get(_maker(graph, layer))
    return rounded.tensor if rounded is not None else graph.constant(layer, 1)


def steps_of(graph: ModelGraph, layer: Node) -> np.ndarray | None:
    """The step of each weight, in the weights' shape; None where they have no carrier."""
    rounded = carried_constants(graph).get(_maker(graph, layer))
    return rounded.step if rounded is not None else None


def _maker(graph: ModelGraph, layer: Node) -> str:
    """Whose result the weights are, seen through Identity."""
    found = graph.producer(layer, 1)
    while found is not None and found.op == "Identity" and len(found.data_refs) == 1:
        found = graph.producer(found, 0)
    return found.name if found is not None else ""


def _fake_quant(graph: ModelGraph, node: Node) -> Carrier | None:
    if node.number("num_bits", 8) != 8:
        return None
    if node.op == "FakeQuantWithMinMaxArgs":
        ends: list[np.ndarray | None] = [np.asarray(node.number("min", -6)), np.asarray(node.number("max", 6))]
    else:
        ends = [_float(graph, node, at) for at in (1, 2)]
    low, high = ends
    if low is None or high is None or low.shape != high.shape or not (low < high).all():
        return None
    first = float(node.flag("narrow_range"))
    step = (high - low) / (255 - first)
    zero = np.clip(np.rint(first - low / step), first, 255)
    return _checked(Carrier(node.data_refs[0], step, first - zero, 255 - zero))


def _quantize_and_dequantize(graph: ModelGraph, node: Node) -> Carrier | None:
    if not node.flag("range_given", node.op == "QuantizeAndDequantizeV3"):
        return None
    bits = _float(graph, node, 3) if node.op == "QuantizeAndDequantizeV3" else np.asarray(node.number("num_bits", 8))
    low, high = _float(graph, node, 1), _float(graph, node, 2)
    if bits is None or bits != 8 or low is None or high is None or low.shape != high.shape:
        return None
    axis = int(node.number("axis", -1))
    signed, narrow = node.flag("signed_input", True), node.flag("narrow_range")
    return _scaled(node.data_refs[0], low, high, signed, narrow, axis)


def _dequantize(graph: ModelGraph, node: Node) -> Carrier | None:
    """Of codes that a QuantizeV2 makes, over the range that it says."""
    maker = graph.producer(node, 0)
    if maker is None or maker.op != "QuantizeV2" or len(node.data_refs) != 3 or node.data_refs[0].port:
        return None
    low, high = _float(graph, maker, 1), _float(graph, maker, 2)
    own = node.data_refs[1:] == (Ref(maker.name, 1, False), Ref(maker.name, 2, False))
    same = own or [_float(graph, node, at) for at in (1, 2)] == [low, high]
    mode, dtype = node.text("mode", "MIN_COMBINED"), node.dtype("T")
    if low is None or high is None or low.ndim or not same or node.number("axis", -1) != -1:
        return None
    if maker.text("mode", "MIN_COMBINED") != mode or dtype not in (DType.QUINT8, DType.QINT8):
        return None
    if mode == "SCALED":
        narrow = node.flag("narrow_range")
        return _scaled(maker.data_refs[0], low, high, dtype == DType.QINT8, narrow, -1)
    if dtype != DType.QUINT8 or not low < high:
        return None
    step = (high - low) / 255
    zero = np.clip(np.rint(-low / step), 0, 255)
    return _checked(Carrier(maker.data_refs[0], step, -zero, 255 - zero))


def _scaled(source: Ref, low: np.ndarray, high: np.ndarray, signed: bool, narrow: bool, axis: int) -> Carrier | None:
    """Levels around zero, or from zero on."""
    if not (low <= high).all():
        return None
    lowest, highest = (-127.0 if narrow else -128.0, 127.0) if signed else (0.0, 255.0)
    step = np.maximum(low / lowest, high / highest) if signed else high / highest
    return _checked(Carrier(source, step, np.full(step.shape, lowest), np.full(step.shape, highest), axis))


def _checked(found: Carrier) -> Carrier | None:
    return found if np.isfinite(found.step).all() and (found.step > 0).all() and found.step.ndim <= 1 else None


def _float(graph: ModelGraph, node: Node, at: int) -> np.ndarray | None:
    value = graph.constant(node, at)
    return value.array.astype(np.float64) if value is not None else None
