"""What a graph computes from constants alone, worked out with numpy.

Only operations whose result is TensorFlow's to the bit are here (``Rsqrt``: to one unit in the last place; TensorFlow
also flushes denormal numbers to zero, numpy keeps them). Where TensorFlow would refuse, nothing is computed, so that it
can say so itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.values import DType, Tensor

PASS_THROUGH = frozenset({"Identity", "StopGradient", "PreventGradient", "Snapshot"})
"""Operations that hand their input on unchanged."""

Arrays = Sequence[np.ndarray]

_CASTABLE = frozenset(
    {DType.FLOAT, DType.DOUBLE, DType.HALF, DType.BFLOAT16, DType.BOOL, DType.INT8, DType.UINT8, DType.INT16}
    | {DType.UINT16, DType.INT32, DType.UINT32, DType.INT64, DType.UINT64}
)


class _RefusedError(Exception):
    """This node is left to TensorFlow."""


class Constant(NamedTuple):
    """A value that is known before the graph is run, and the control inputs of all the constants it is made from.

    Whatever takes its place needs the same control inputs: they tie it to its branch or loop (version 1 control flow).
    """

    tensor: Tensor
    control: tuple[str, ...] = ()


def constant_values(graph: ModelGraph, maximum_bytes: int | None = None) -> dict[str, Constant]:
    """Every node whose value is known before the graph is run -> that value (Const nodes included).

    ``maximum_bytes``: values that outgrow what they are made from by more are left out, whatever they cost to compute;
    an input that others read too does not count, because its bytes stay.
    """
    known: dict[str, Constant] = {}
    for node in graph.topological():
        refs = node.data_refs
        if node.op == "Const":
            tensor = node.tensor
        elif node.op not in COMPUTED or not all(ref.name in known and ref.port == 0 for ref in refs):
            continue
        else:
            inputs = [known[ref.name].tensor for ref in refs]
            freed = sum(known[ref.name].tensor.nbytes for ref in refs if len(graph.consumers[ref.name]) == 1)
            tensor = compute(node, inputs, None if maximum_bytes is None else maximum_bytes + freed)
        if tensor is not None:
            control = dict.fromkeys(text for ref in refs for text in known[ref.name].control)
            control.update(dict.fromkeys(text for text in node.inputs if text.startswith("^")))
            known[node.name] = Constant(tensor, tuple(control))
    return known


def compute(node: Node, inputs: Sequence[Tensor], limit: int | None = None) -> Tensor | None:
    """The value of ``node`` for these inputs; None where it is left to TensorFlow, or has more than ``limit`` bytes."""
    if node.op in PASS_THROUGH:
        return inputs[0] if len(inputs) == 1 else None
    dtype = node.dtype(_TYPE_ATTR.get(node.op, "T"))
    if dtype is None or dtype.numpy is None or dtype == DType.STRING or node.op not in _COMPUTE:
        return None
    arrays = [tensor.array for tensor in inputs]
    try:
        if limit is not None and _count(node, arrays) * dtype.numpy.itemsize > limit:
            return None
        with np.errstate(all="ignore"):
            array = np.asarray(_COMPUTE[node.op](node, arrays))
    except (_RefusedError, ValueError, IndexError, TypeError, OverflowError, MemoryError):
        return None
    return Tensor(dtype, array.view()) if array.dtype == dtype.numpy else None


def _count(node: Node, arrays: Arrays) -> int:
    """How many values the result has, or a bound, without computing it."""
    if node.op in ("Fill", "BroadcastTo"):
        return math.prod(int(d) for d in arrays[0 if node.op == "Fill" else 1])
    if node.op == "Tile":
        return arrays[0].size * math.prod(int(d) for d in arrays[1])
    if node.op in ("Pad", "PadV2"):
        return math.prod(int(d) + int(p.sum()) for d, p in zip(arrays[0].shape, arrays[1], strict=True))
    if node.op == "Range":
        start, stop, step = (int(a.item()) for a in arrays)
        return len(range(start, stop, step))
    if node.op in ("GatherV2", "Gather"):
        gathered: int = arrays[0].shape[_axis(arrays[2]) if len(arrays) > 2 else 0]
        return arrays[1].size * (arrays[0].size // max(1, gathered))
    if node.op in _BINARY:
        return math.prod(np.broadcast_shapes(*(a.shape for a in arrays)))
    return sum(a.size for a in arrays)


def _axis(array: np.ndarray) -> int:
    if array.size != 1:
        raise _RefusedError
    return int(array.reshape(-1)[0])


def _reshape(_: Node, a: Arrays) -> np.ndarray:
    return a[0].reshape([int(d) for d in a[1]])


def _squeeze(node: Node, a: Arrays) -> np.ndarray:
    axes = node.ints("squeeze_dims") or node.ints("axis")
    return np.squeeze(a[0], tuple(axes) if axes else None)


def _concat(_: Node, a: Arrays) -> np.ndarray:
    return np.concatenate(a[:-1], _axis(a[-1]))


def _pack(node: Node, a: Arrays) -> np.ndarray:
    return np.stack(a, int(node.number("axis")))


def _fill(_: Node, a: Arrays) -> np.ndarray:
    if a[1].ndim:
        raise _RefusedError
    return np.broadcast_to(a[1], [int(d) for d in a[0]])


def _broadcast_to(_: Node, a: Arrays) -> np.ndarray:
    return np.broadcast_to(a[0], [int(d) for d in a[1]])


def _range(_: Node, a: Arrays) -> np.ndarray:
    if not np.issubdtype(a[0].dtype, np.integer) or any(x.ndim for x in a) or not a[2]:
        raise _RefusedError  # TensorFlow adds floats up one by one
    return np.arange(int(a[0]), int(a[1]), int(a[2])).astype(a[0].dtype)


def _strided_slice(node: Node, a: Arrays) -> np.ndarray:
    """``begin_mask`` and the like have a bit for each entry of the specification, as in TensorFlow."""

    def bit(key: str, i: int) -> bool:
        return bool(int(node.number(key)) >> i & 1)

    index: list[Any] = []
    for i, (begin, end, step) in enumerate(zip(*(x.tolist() for x in a[1:4]), strict=True)):
        if bit("ellipsis_mask", i):
            index.append(...)
        elif bit("new_axis_mask", i):
            index.append(None)
        elif bit("shrink_axis_mask", i):
            index.append(begin)
        elif step == 0:
            raise _RefusedError
        else:
            index.append(slice(None if bit("begin_mask", i) else begin, None if bit("end_mask", i) else end, step))
    return np.asarray(a[0][tuple(index)])


def _slice(_: Node, a: Arrays) -> np.ndarray:
    begins, sizes = a[1].tolist(), a[2].tolist()
    ends = [dim if size == -1 else begin + size for begin, size, dim in zip(begins, sizes, a[0].shape, strict=True)]
    if any(not 0 <= b <= e <= d for b, e, d in zip(begins, ends, a[0].shape, strict=True)):
        raise _RefusedError
    return a[0][tuple(slice(b, e) for b, e in zip(begins, ends, strict=True))]


def _gather(node: Node, a: Arrays) -> np.ndarray:
    if node.number("batch_dims") or (a[1].size and a[1].min() < 0):
        raise _RefusedError
    return np.take(a[0], a[1], _axis(a[2]) if len(a) > 2 else 0)


def _pad(_: Node, a: Arrays) -> np.ndarray:
    return np.pad(a[0], a[1].tolist(), constant_values=a[2] if len(a) > 2 else 0)


def _cast(node: Node, a: Arrays) -> np.ndarray:
    source, target = node.dtype("SrcT"), node.dtype("DstT")
    if source not in _CASTABLE or target not in _CASTABLE or node.flag("Truncate"):
        raise _RefusedError
    if source.is_floating and not target.is_floating and target != DType.BOOL:
        limits = np.iinfo(target.numpy)  # what lies outside depends on the processor
        wide = a[0].astype(np.float64)
        if not np.all((wide > limits.min - 1.0) & (wide < float(limits.max))):
            raise _RefusedError
    return a[0].astype(target.numpy)


def _shape(node: Node, a: Arrays) -> np.ndarray:
    return np.array(a[0].shape, (node.dtype("out_type") or DType.INT32).numpy)


def _size(node: Node, a: Arrays) -> np.ndarray:
    return np.array(a[0].size, (node.dtype("out_type") or DType.INT32).numpy)


def _floating(function: Callable[..., np.ndarray]) -> Callable[[Node, Arrays], np.ndarray]:
    def run(_: Node, a: Arrays) -> np.ndarray:
        if a[0].dtype not in (np.float32, np.float64):
            raise _RefusedError
        return function(*a)

    return run


def _numeric(function: Callable[..., np.ndarray]) -> Callable[[Node, Arrays], np.ndarray]:
    def run(_: Node, a: Arrays) -> np.ndarray:
        if a[0].dtype.kind not in "iu" and a[0].dtype not in (np.float32, np.float64):
            raise _RefusedError
        return np.asarray(function(*a))

    return run


def _without_nan(function: Callable[..., np.ndarray]) -> Callable[[Node, Arrays], np.ndarray]:
    def run(node: Node, a: Arrays) -> np.ndarray:
        if any(np.isnan(x).any() for x in a):
            raise _RefusedError
        return _numeric(function)(node, a)

    return run


def _whole_division(function: Callable[..., np.ndarray]) -> Callable[[Node, Arrays], np.ndarray]:
    def run(_: Node, a: Arrays) -> np.ndarray:
        if a[0].dtype.kind not in "iu" or not np.all(a[1]):
            raise _RefusedError
        return np.asarray(function(*a))

    return run


def _whole_reduction(function: Callable[..., np.ndarray]) -> Callable[[Node, Arrays], np.ndarray]:
    """Sizes are multiplied and added up; sums of floats depend on their order."""

    def run(node: Node, a: Arrays) -> np.ndarray:
        if a[0].dtype.kind not in "iu":
            raise _RefusedError
        axes = tuple(int(x) for x in a[1].reshape(-1))
        return np.asarray(function(a[0], axis=axes, keepdims=node.flag("keep_dims"), dtype=a[0].dtype))

    return run


def _rsqrt(x: np.ndarray) -> np.ndarray:
    return (1 / np.sqrt(x.astype(np.float64))).astype(x.dtype)


_BINARY: dict[str, Callable[[Node, Arrays], np.ndarray]] = {
    "Add": _numeric(np.add),
    "AddV2": _numeric(np.add),
    "Sub": _numeric(np.subtract),
    "Mul": _numeric(np.multiply),
    "RealDiv": _floating(np.divide),
    "Maximum": _without_nan(np.maximum),
    "Minimum": _without_nan(np.minimum),
    "FloorDiv": _whole_division(np.floor_divide),
    "FloorMod": _whole_division(np.mod),
}
_COMPUTE: dict[str, Callable[[Node, Arrays], np.ndarray]] = {
    **_BINARY,
    "Neg": _numeric(np.negative),
    "Square": _numeric(np.square),
    "Sqrt": _floating(np.sqrt),
    "Rsqrt": _floating(_rsqrt),
    "Prod": _whole_reduction(np.prod),
    "Sum": _whole_reduction(np.sum),
    "Reshape": _reshape,
    "Transpose": lambda _, a: np.transpose(a[0], a[1].tolist()),
    "ExpandDims": lambda _, a: np.expand_dims(a[0], _axis(a[1])),
    "Squeeze": _squeeze,
    "ConcatV2": _concat,
    "Concat": lambda node, a: _concat(node, [*a[1:], a[0]]),
    "Pack": _pack,
    "Fill": _fill,
    "BroadcastTo": _broadcast_to,
    "Tile": lambda _, a: np.tile(a[0], a[1].tolist()),
    "Range": _range,
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    "Gather": _gather,
    "GatherV2": _gather,
    "Pad": _pad,
    "PadV2": _pad,
    "Cast": _cast,
    "Shape": _shape,
    "Size": _size,
}
_TYPE_ATTR = {
    "Cast": "DstT",
    "Shape": "out_type",
    "Size": "out_type",
    "Range": "Tidx",
    "Gather": "Tparams",
    "GatherV2": "Tparams",
}

COMPUTED = PASS_THROUGH | _COMPUTE.keys()
"""The operations that can be worked out."""
