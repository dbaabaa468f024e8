"""The protobuf form of the values in ``core.values``: ``AttrValue``, ``TensorProto``, ``TensorShapeProto``.

What is malformed raises wire.WireError.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from compressor_gui.core import wire
from compressor_gui.core.values import Attr, DType, RawAttr, Shape, Tensor, first, is_broadcast

MAX_TENSOR_BYTES = (1 << 31) - 1
"""Protocol buffers hold at most 2 GB; a constant whose shape asks for more is a lie."""

MAX_RANK = 64
"""The most dimensions that numpy knows; TensorFlow knows 254."""

MAX_FILLED_BYTES = 1 << 26
MAX_FILLED_RATIO = 1000
"""A list of a few values whose last one fills a huge shape is refused: a small file must not take all the memory."""

_LIST, _S, _I, _F, _B, _TYPE, _SHAPE, _TENSOR, _PLACEHOLDER, _FUNC = range(1, 11)


def decode_attr(data: memoryview) -> Attr:
    """Read one ``AttrValue``. Raises wire.WireError when it is malformed."""
    found = list(wire.fields(data))
    if len(found) != 1:
        return RawAttr(bytes(data))
    number, _, value = found[0]
    if number == _LIST:
        return _decode_list(data, _message(value))
    if number in (_S, _I, _F, _B, _TYPE, _SHAPE, _TENSOR):
        decoded = _decode_scalar(number, value)
        return RawAttr(bytes(data)) if decoded is None else decoded
    return RawAttr(bytes(data))


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise wire.WireError("a number stands where a message belongs")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise wire.WireError("a message stands where a number belongs")
    return value


def _decode_scalar(number: int, value: int | memoryview) -> Attr | None:
    """One attribute value, or None where it has to be carried through unread."""
    if number == _S:
        return bytes(_message(value))
    if number == _I:
        return wire.signed(_number(value))
    if number == _F:
        return float(struct.unpack("<f", struct.pack("<I", _number(value) & 0xFFFFFFFF))[0])
    if number == _B:
        return bool(_number(value))
    if number == _TYPE:
        known = _number(value)
        return DType(known) if known in DType._value2member_map_ else None
    if number == _SHAPE:
        return decode_shape(_message(value))
    return decode_tensor(_message(value))


def _decode_list(data: memoryview, body: memoryview) -> Attr:
    out: list[Attr] = []
    kinds = set()
    for number, kind, value in wire.fields(body):
        kinds.add(number)
        if kind == wire.BYTES and number in (_I, _B, _TYPE):  # packed, as proto3 writes numbers
            items: list[Attr | None] = [_decode_scalar(number, int(v)) for v in wire.packed_varints(_message(value))]
        elif kind == wire.BYTES and number == _F:
            if len(_message(value)) % 4:
                raise wire.WireError("a list of floats is cut off")
            items = [float(v) for v in np.frombuffer(_message(value), "<f4")]
        elif number in (_S, _I, _F, _B, _TYPE, _SHAPE, _TENSOR):
            items = [_decode_scalar(number, value)]
        else:
            return RawAttr(bytes(data))
        if any(item is None for item in items):
            return RawAttr(bytes(data))
        out.extend(item for item in items if item is not None)
    return tuple(out) if len(kinds) <= 1 else RawAttr(bytes(data))


def encode_attr(value: Attr) -> bytes:
    """Write one ``AttrValue``; equal values give equal bytes."""
    if isinstance(value, RawAttr):
        return value.data
    if isinstance(value, tuple):
        return wire.put_bytes(_LIST, _encode_list(value))
    return b"".join(_encode_scalar(value))


def _encode_scalar(value: Attr) -> list[bytes | memoryview]:
    if isinstance(value, bytes):
        return [wire.put_bytes(_S, value)]
    if isinstance(value, bool):
        return [wire.put_int(_B, value)]
    if isinstance(value, DType):
        return [wire.put_int(_TYPE, value)]
    if isinstance(value, int):
        return [wire.put_int(_I, value)]
    if isinstance(value, float):
        return [wire.put_varint(_F << 3 | wire.FIXED32), struct.pack("<f", value)]
    if isinstance(value, Shape):
        return [wire.put_bytes(_SHAPE, encode_shape(value))]
    if isinstance(value, Tensor):
        return [wire.put_bytes(_TENSOR, *encode_tensor(value))]
    raise TypeError(f"{type(value).__name__} is not an attribute value")


def _encode_list(items: tuple) -> bytes:
    if not items:
        return b""
    first = items[0]
    if isinstance(first, bool | int):  # DType is an int too
        number = _B if isinstance(first, bool) else _TYPE if isinstance(first, DType) else _I
        return wire.put_bytes(number, b"".join(wire.put_varint(int(v)) for v in items))
    if isinstance(first, float):
        return wire.put_bytes(_F, struct.pack(f"<{len(items)}f", *items))
    return b"".join(part for item in items for part in _encode_scalar(item))


def decode_shape(data: memoryview) -> Shape:
    """Read a ``TensorShapeProto`` (dimension names are dropped)."""
    dims: list[int] = []
    unknown = False
    for number, _, value in wire.fields(data):
        if number == 2:
            size = 0
            for dim_number, _, dim_value in wire.fields(_message(value)):
                if dim_number == 1:
                    size = wire.signed(_number(dim_value))
            dims.append(size)
        elif number == 3:
            unknown = bool(value)
    return Shape(None if unknown else tuple(dims))


def encode_shape(shape: Shape) -> bytes:
    """Write a ``TensorShapeProto``."""
    if shape.dims is None:
        return wire.put_int(3, 1)
    return b"".join(wire.put_bytes(2, wire.put_int(1, d) if d else b"") for d in shape.dims)


# TensorProto: dtype=1, tensor_shape=2, tensor_content=4, and one repeated field for each kind of value.
_FIXED_VALUES = {5: "<f4", 6: "<f8", 9: "<f4", 12: "<f8"}
_BYTE_VALUES = 18
_HALVES = (DType.HALF, DType.BFLOAT16)
_SMALL_INTS = (DType.INT4, DType.UINT4, DType.INT2, DType.UINT2)
_INT_VALUES = (
    DType.INT32, DType.INT16, DType.UINT16, DType.INT8, DType.UINT8, DType.QINT8, DType.QUINT8, DType.QINT16,
    DType.QUINT16, DType.QINT32, *_SMALL_INTS,
)  # fmt: skip
_SMALL_FLOATS = (
    DType.FLOAT8_E5M2, DType.FLOAT8_E4M3FN, DType.FLOAT8_E4M3FNUZ, DType.FLOAT8_E4M3B11FNUZ, DType.FLOAT8_E5M2FNUZ,
    DType.FLOAT4_E2M1FN,
)  # fmt: skip
_VALUE_FIELD: dict[DType, int] = {
    DType.FLOAT: 5, DType.DOUBLE: 6, **dict.fromkeys(_INT_VALUES, 7), DType.STRING: 8, DType.COMPLEX64: 9,
    DType.INT64: 10, DType.BOOL: 11, DType.COMPLEX128: 12, **dict.fromkeys(_HALVES, 13), DType.UINT32: 16,
    DType.UINT64: 17, **dict.fromkeys(_SMALL_FLOATS, _BYTE_VALUES),
}  # fmt: skip


def decode_tensor(data: memoryview) -> Tensor | None:
    """Read a ``TensorProto`` as a view on ``data``; None for what numpy does not know: types without a numpy form,
    more than 64 dimensions, strings packed into ``tensor_content``.

    Both forms are read: ``tensor_content``, and the typed lists (``float_val``, ``int_val``, ``half_val``, ...), whose
    last value fills the rest of the shape. Raises wire.WireError when the content does not fit the shape.
    """
    dtype, shape, content = DType.INVALID, Shape(()), None
    lists: list[tuple[int, int, int | memoryview]] = []
    for number, kind, value in wire.fields(data):
        if number == 1:
            if value not in DType._value2member_map_:
                return None
            dtype = DType(_number(value))
        elif number == 2:
            shape = decode_shape(_message(value))
        elif number == 4:
            content = _message(value)
        elif number > 4:
            lists.append((number, kind, value))
    if dtype.numpy is None:
        return None
    if shape.dims is None or any(d < 0 for d in shape.dims):
        raise wire.WireError("a constant has no definite shape")
    count = math.prod(shape.dims)
    if count * dtype.numpy.itemsize > MAX_TENSOR_BYTES:
        raise wire.WireError(f"its shape {shape} asks for more than the 2 GB that a graph can hold")
    if math.prod(size or 1 for size in shape.dims) > 1 << 58:
        raise wire.WireError(f"its shape {shape} is larger than any memory")
    if len(shape.dims) > MAX_RANK:
        return None
    if dtype == DType.STRING:
        if content is not None and len(content):
            return None
        flat = _strings(lists)
    elif content is not None and len(content):
        if len(content) != count * dtype.numpy.itemsize:
            raise wire.WireError(
                f"its shape {shape} {dtype.label} asks for {count * dtype.numpy.itemsize:,} bytes, "
                f"and {len(content):,} are there"
            )
        flat = np.frombuffer(content, dtype.numpy)
    else:
        flat = _listed_values(dtype, [entry for entry in lists if entry[0] == _VALUE_FIELD.get(dtype)])
    return Tensor(dtype, _fill(flat, shape.dims, count, dtype))


def _strings(lists: list[tuple[int, int, int | memoryview]]) -> np.ndarray:
    values = [bytes(_message(value)) for number, _, value in lists if number == 8]
    flat = np.empty(len(values), object)
    flat[:] = values
    return flat


def _listed_values(dtype: DType, lists: list[tuple[int, int, int | memoryview]]) -> np.ndarray:
    assert dtype.numpy is not None
    stored = np.dtype("u2" if dtype in _HALVES else "i1") if dtype in (*_HALVES, *_SMALL_INTS) else dtype.numpy
    parts: list[np.ndarray] = []
    for number, kind, value in lists:
        if number in _FIXED_VALUES:
            base = np.dtype(_FIXED_VALUES[number])
            if isinstance(value, int):
                if kind != (wire.FIXED32 if base.itemsize == 4 else wire.FIXED64):
                    raise wire.WireError("a number has the wrong size")
                value = memoryview(value.to_bytes(base.itemsize, "little"))
            if len(value) % base.itemsize:
                raise wire.WireError("a list of numbers is cut off")
            parts.append(np.frombuffer(value, base))
        elif number == _BYTE_VALUES:
            parts.append(np.frombuffer(_message(value), dtype.numpy))
        elif isinstance(value, memoryview):
            parts.append(wire.packed_varints(value, stored))
        else:
            parts.append(np.array([value], np.uint64).astype(stored))
    if not parts:
        return np.zeros(0, dtype.numpy)
    flat = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if dtype in (DType.COMPLEX64, DType.COMPLEX128):
        return flat[: flat.size // 2 * 2].view(dtype.numpy)
    return flat.view(dtype.numpy) if dtype in _HALVES else flat.astype(dtype.numpy, copy=False)


def _fill(flat: np.ndarray, dims: tuple[int, ...], count: int, dtype: DType) -> np.ndarray:
    """Shape ``flat``; TensorFlow repeats the last value where there are too few, and reads zeros for none."""
    if flat.size > count:
        raise wire.WireError(f"its shape {Shape(dims)} holds {count:,} values, and {flat.size:,} are there")
    if flat.size == count:
        return flat.reshape(dims)
    if flat.size == 0:
        filler: object = b"" if dtype == DType.STRING else np.zeros((), dtype.numpy)
        return np.broadcast_to(np.array(filler, dtype.numpy), dims)
    if flat.size == 1:
        return np.broadcast_to(flat[0] if dtype != DType.STRING else np.array(flat[0], object), dims)
    filled = count * flat.itemsize
    if filled > MAX_FILLED_BYTES and count > MAX_FILLED_RATIO * flat.size:
        raise wire.WireError(f"its shape {Shape(dims)} asks for {filled:,} bytes, and {flat.size:,} values are there")
    return np.concatenate([flat, np.full(count - flat.size, flat[-1], flat.dtype)]).reshape(dims)


def encode_tensor(tensor: Tensor) -> list[bytes | memoryview]:
    """Write a ``TensorProto`` as parts to be joined; a constant that repeats one value is stored as that value."""
    array, number = tensor.array, _VALUE_FIELD.get(tensor.dtype)
    head: list[bytes | memoryview] = [wire.put_int(1, tensor.dtype)]
    head.append(wire.put_bytes(2, encode_shape(Shape(tuple(array.shape)))))
    if array.size == 0:
        return head
    if number is not None and is_broadcast(array):
        array = first(array)
    if tensor.dtype == DType.STRING:
        return head + [wire.put_bytes(8, bytes(value)) for value in array.ravel()]
    if array.size > 1 or number is None:
        content = np.ascontiguousarray(array)
        return [*head, wire.put_bytes(4, content.reshape(-1).view(np.uint8).data)]
    return [*head, _encode_listed(array.reshape(-1), tensor.dtype, number)]


def _encode_listed(flat: np.ndarray, dtype: DType, number: int) -> bytes:
    if number in _FIXED_VALUES:
        return wire.put_bytes(number, flat.tobytes())
    if number == _BYTE_VALUES:
        return wire.put_bytes(number, flat.tobytes())
    if dtype in _HALVES:
        flat = flat.view(np.uint16)
    return wire.put_bytes(number, b"".join(wire.put_varint(int(v)) for v in flat))
