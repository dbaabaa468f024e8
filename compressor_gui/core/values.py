"""The values that node attributes hold.

An :data:`Attr` is a plain Python value: ``bytes``, ``int``, ``float``, ``bool``, :class:`DType`, :class:`Shape`,
:class:`Tensor`, a tuple of one of these (``ListValue``), or :class:`RawAttr` for what is carried through unread
(functions, placeholders, resource and variant tensors, unknown fields).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import ml_dtypes
import numpy as np

from compressor_gui.core import wire


class DType(IntEnum):
    """TensorFlow's data types, numbered as in ``types.proto``."""

    INVALID = 0
    FLOAT = 1
    DOUBLE = 2
    INT32 = 3
    UINT8 = 4
    INT16 = 5
    INT8 = 6
    STRING = 7
    COMPLEX64 = 8
    INT64 = 9
    BOOL = 10
    QINT8 = 11
    QUINT8 = 12
    QINT32 = 13
    BFLOAT16 = 14
    QINT16 = 15
    QUINT16 = 16
    UINT16 = 17
    COMPLEX128 = 18
    HALF = 19
    RESOURCE = 20
    VARIANT = 21
    UINT32 = 22
    UINT64 = 23
    FLOAT8_E5M2 = 24
    FLOAT8_E4M3FN = 25
    FLOAT8_E4M3FNUZ = 26
    FLOAT8_E4M3B11FNUZ = 27
    FLOAT8_E5M2FNUZ = 28
    INT4 = 29
    UINT4 = 30
    INT2 = 31
    UINT2 = 32
    FLOAT4_E2M1FN = 33

    @property
    def label(self) -> str:
        """The name that TensorFlow prints: ``float32``, ``quint8``."""
        return {DType.FLOAT: "float32", DType.DOUBLE: "float64", DType.HALF: "float16"}.get(self, self.name.lower())

    @property
    def numpy(self) -> np.dtype | None:
        """The numpy type with the same memory layout, or None (resource, variant)."""
        return _NUMPY.get(self)

    @property
    def is_floating(self) -> bool:
        """Whether weights of this type can be pruned and quantized."""
        return self in (DType.FLOAT, DType.DOUBLE, DType.HALF, DType.BFLOAT16)

    @property
    def is_quantized(self) -> bool:
        """Whether this is one of the q-types, whose meaning needs a range."""
        return self in (DType.QINT8, DType.QUINT8, DType.QINT16, DType.QUINT16, DType.QINT32)


_NUMPY: dict[DType, np.dtype] = {
    DType.FLOAT: np.dtype("<f4"),
    DType.DOUBLE: np.dtype("<f8"),
    DType.HALF: np.dtype("<f2"),
    DType.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    DType.INT8: np.dtype("i1"),
    DType.QINT8: np.dtype("i1"),
    DType.UINT8: np.dtype("u1"),
    DType.QUINT8: np.dtype("u1"),
    DType.INT16: np.dtype("<i2"),
    DType.QINT16: np.dtype("<i2"),
    DType.UINT16: np.dtype("<u2"),
    DType.QUINT16: np.dtype("<u2"),
    DType.INT32: np.dtype("<i4"),
    DType.QINT32: np.dtype("<i4"),
    DType.UINT32: np.dtype("<u4"),
    DType.INT64: np.dtype("<i8"),
    DType.UINT64: np.dtype("<u8"),
    DType.BOOL: np.dtype("?"),
    DType.COMPLEX64: np.dtype("<c8"),
    DType.COMPLEX128: np.dtype("<c16"),
    DType.STRING: np.dtype(object),
    DType.FLOAT8_E5M2: np.dtype(ml_dtypes.float8_e5m2),
    DType.FLOAT8_E4M3FN: np.dtype(ml_dtypes.float8_e4m3fn),
    DType.FLOAT8_E4M3FNUZ: np.dtype(ml_dtypes.float8_e4m3fnuz),
    DType.FLOAT8_E4M3B11FNUZ: np.dtype(ml_dtypes.float8_e4m3b11fnuz),
    DType.FLOAT8_E5M2FNUZ: np.dtype(ml_dtypes.float8_e5m2fnuz),
    DType.INT4: np.dtype(ml_dtypes.int4),
    DType.UINT4: np.dtype(ml_dtypes.uint4),
    DType.INT2: np.dtype(ml_dtypes.int2),
    DType.UINT2: np.dtype(ml_dtypes.uint2),
    DType.FLOAT4_E2M1FN: np.dtype(ml_dtypes.float4_e2m1fn),
}


@dataclass(frozen=True)
class Shape:
    """A tensor shape; ``dims`` is None when the rank is unknown, a dimension is -1 when its size is."""

    dims: tuple[int, ...] | None

    def __str__(self) -> str:
        if self.dims is None:
            return "?"
        return "×".join("?" if d < 0 else str(d) for d in self.dims) or "scalar"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A constant: a TensorFlow type and a read-only numpy array.

    Equality compares type, shape and bits, so that NaN equals itself; it is by identity first, hence cheap between two
    versions of one graph.
    """

    dtype: DType
    array: np.ndarray

    def __post_init__(self) -> None:
        if self.dtype.numpy != self.array.dtype:
            raise TypeError(f"{self.dtype.label} can't hold numpy's {self.array.dtype}")
        self.array.flags.writeable = False

    @staticmethod
    def of(values: object, dtype: DType) -> Tensor:
        """Make a tensor of ``dtype`` from anything numpy takes (the array is copied unless it is already right)."""
        array = np.asarray(values, dtype=dtype.numpy)
        return Tensor(dtype, array.view() if array.flags.writeable else array)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Tensor) or self.dtype != other.dtype or self.array.shape != other.array.shape:
            return False
        if self.array is other.array:
            return True
        mine, theirs = self.array, other.array
        if mine.size and is_broadcast(mine) and is_broadcast(theirs):
            mine, theirs = first(mine), first(theirs)
        if self.dtype == DType.STRING:
            return bool(np.array_equal(mine, theirs))
        return wire.same_bytes(_bytes_of(mine), _bytes_of(theirs))

    def __hash__(self) -> int:
        return hash((self.dtype, self.array.shape))

    @property
    def nbytes(self) -> int:
        """Bytes of the dense content, as ``tensor_content`` would hold them."""
        if self.dtype != DType.STRING:
            return int(self.array.nbytes)
        if self.array.size and is_broadcast(self.array):
            return int(self.array.size) * len(first(self.array)[0])
        return sum(len(s) for s in self.array.ravel())


def is_broadcast(array: np.ndarray) -> bool:
    """Whether one value in memory fills the whole shape."""
    return all(stride == 0 for stride, size in zip(array.strides, array.shape, strict=True) if size > 1)


def first(array: np.ndarray) -> np.ndarray:
    """The first element, as a view of rank 1."""
    array = np.atleast_1d(array)  # a scalar of text would come out as bytes
    return array[(slice(0, 1),) * array.ndim].reshape(-1)


def _bytes_of(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


@dataclass(frozen=True)
class RawAttr:
    """An ``AttrValue`` message that is carried through byte for byte."""

    data: bytes

    @cached_property
    def kind(self) -> str:
        """What it holds: ``func``, ``placeholder``, ``tensor`` (of a type without a numpy form), or ``empty``."""
        names = {1: "list", 8: "tensor", 9: "placeholder", 10: "func"}
        return next((names.get(n, "unknown") for n, _, _ in wire.fields(memoryview(self.data))), "empty")


Attr = bytes | int | float | bool | DType | Shape | Tensor | RawAttr | tuple
