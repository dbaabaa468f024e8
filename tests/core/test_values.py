"""Attribute values and tensors, against protobuf's classes and TensorFlow's own reading of them."""

from __future__ import annotations

import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DataType

from compressor_gui.core import attr_value, wire
from compressor_gui.core.attr_value import decode_attr, decode_tensor, encode_attr
from compressor_gui.core.values import DType, RawAttr, Shape, Tensor
from tests.support import tensorflow

NUMERIC = [dtype for dtype in DType if dtype.numpy is not None and dtype != DType.STRING]
RUNNABLE = [dtype for dtype in NUMERIC if not dtype.name.endswith("FNUZ")]
"""TensorFlow 2.21 has the numbers of the FNUZ types, and nothing that reads them."""


def proto(dtype: DType, dims: tuple[int, ...], **fields: Any) -> TensorProto:
    made = TensorProto(dtype=int(dtype), **fields)
    for size in dims:
        made.tensor_shape.dim.add(size=size)
    return made


def read(message: TensorProto) -> Tensor | None:
    return decode_tensor(memoryview(message.SerializeToString()))


def written(tensor: Tensor) -> TensorProto:
    return TensorProto.FromString(b"".join(attr_value.encode_tensor(tensor)))


def test_types_are_numbered_as_in_types_proto() -> None:
    known = {name.removeprefix("DT_"): number for name, number in DataType.items() if number < 100}
    assert {dtype.name: int(dtype) for dtype in DType} == known


# --- attributes ------------------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.binary(max_size=8),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(width=32, allow_nan=False),
    st.sampled_from(DType),
    st.builds(Shape, st.none() | st.lists(st.integers(-1, 2**40), max_size=4).map(tuple)),
)
lists = st.one_of(
    st.lists(st.binary(max_size=8), max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.lists(st.booleans(), max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), max_size=4),
    st.lists(st.sampled_from(DType), max_size=4),
    st.lists(st.builds(Shape, st.lists(st.integers(-1, 9), max_size=3).map(tuple)), max_size=3),
).map(tuple)


@given(scalars | lists)
def test_an_attribute_is_read_as_it_was_written(value: Any) -> None:
    data = encode_attr(value)
    again = decode_attr(memoryview(data))
    assert again == value
    assert type(again) is type(value)
    assert encode_attr(again) == data


@given(scalars | lists)
def test_protobuf_reads_the_same(value: Any) -> None:
    message = AttrValue.FromString(encode_attr(value))
    kind = message.WhichOneof("value")
    if isinstance(value, tuple):
        found = {field.name: list(items) for field, items in message.list.ListFields()}
        assert kind == "list"
        if value and not isinstance(value[0], Shape):
            assert list(found.values()) == [list(value)]
    elif isinstance(value, Shape):
        assert message.shape.unknown_rank == (value.dims is None)
        assert tuple(dim.size for dim in message.shape.dim) == (value.dims or ())
    else:
        expected = {bytes: "s", bool: "b", int: "i", float: "f", DType: "type"}[type(value)]
        assert (kind, getattr(message, expected)) == (expected, value)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (AttrValue(func={"name": "f"}), "func"),
        (AttrValue(placeholder="T"), "placeholder"),
        (AttrValue(), "empty"),
        (AttrValue(tensor=proto(DType.RESOURCE, (1,))), "tensor"),
        (AttrValue(list={"func": [{"name": "f"}]}), "list"),
        (AttrValue(list={"i": [1], "f": [2.0]}), "list"),
        (AttrValue(type=999), "unknown"),
    ],
)
def test_what_is_not_understood_is_carried_through(message: AttrValue, kind: str) -> None:
    data = message.SerializeToString()
    value = decode_attr(memoryview(data))
    assert isinstance(value, RawAttr)
    assert (value.kind, encode_attr(value)) == (kind, data)


def test_unpacked_lists_are_read_too() -> None:
    items = wire.put_int(3, 4) + wire.put_int(3, -1)
    assert decode_attr(memoryview(wire.put_bytes(1, items))) == (4, -1)
    floats = b"".join(b"\x25" + struct.pack("<f", v) for v in (1.5, -2.0))
    assert decode_attr(memoryview(wire.put_bytes(1, floats))) == (1.5, -2.0)


@pytest.mark.parametrize(
    "data",
    [
        wire.put_int(2, 1),  # a number where text belongs
        wire.put_bytes(3, b"abc"),  # text where a number belongs
        wire.put_int(8, 1),
        wire.put_bytes(1, wire.put_bytes(4, b"abc")),  # a packed list of floats of three bytes
        wire.put_bytes(1, wire.put_bytes(3, b"\x80")),
    ],
)
def test_malformed_attributes(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        decode_attr(memoryview(data))


@given(st.binary(max_size=40))
def test_any_bytes_are_an_attribute_or_an_error(data: bytes) -> None:
    try:
        value = decode_attr(memoryview(data))
    except (wire.WireError, ValueError):
        return
    assert encode_attr(decode_attr(memoryview(encode_attr(value)))) == encode_attr(value)


# --- tensors ---------------------------------------------------------------------------------------------------------


def sample(dtype: DType, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Random bits that are valid values of the type."""
    assert dtype.numpy is not None
    random = np.random.default_rng(seed)
    if dtype == DType.BOOL:
        return Tensor.of(random.random(shape) < 0.5, dtype)
    if dtype.numpy.kind in "iu" and dtype.numpy.isbuiltin == 1:
        info = np.iinfo(dtype.numpy)
        return Tensor.of(random.integers(info.min, info.max, shape, dtype=dtype.numpy, endpoint=True), dtype)
    low, high = {"int2": (-2, 2), "uint2": (0, 4), "int4": (-8, 8), "uint4": (0, 16)}.get(dtype.label, (-4, 5))
    drawn = random.integers(low, high, shape).astype(np.float32)
    return Tensor.of(drawn.astype(dtype.numpy), dtype)


@pytest.mark.parametrize("dtype", NUMERIC, ids=lambda d: d.label)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (0,), (2, 0, 3)], ids=str)
def test_a_tensor_is_read_as_it_was_written(dtype: DType, shape: tuple[int, ...]) -> None:
    tensor = sample(dtype, shape)
    again = read(written(tensor))
    assert again == tensor
    assert again is not None
    assert again.array.shape == shape
    assert not again.array.flags.writeable


@pytest.mark.parametrize("dtype", NUMERIC, ids=lambda d: d.label)
def test_a_constant_of_one_value_takes_a_few_bytes(dtype: DType) -> None:
    one = sample(dtype, (1,), seed=3)
    broad = Tensor(dtype, np.broadcast_to(one.array[0], (30, 40)))
    message = written(broad)
    if attr_value._VALUE_FIELD.get(dtype):
        assert message.ByteSize() < 40
    again = read(message)
    assert again == broad
    assert again == Tensor.of(broad.array.copy(), dtype)


def test_content_is_a_view_and_lists_fill_the_shape() -> None:
    data = proto(DType.FLOAT, (2, 2), tensor_content=np.arange(4, dtype="<f4").tobytes()).SerializeToString()
    tensor = decode_tensor(memoryview(data))
    assert tensor is not None
    assert np.shares_memory(tensor.array, np.frombuffer(data, np.uint8))
    short = read(proto(DType.INT32, (5,), int_val=[7, -1]))
    assert short is not None
    assert short.array.tolist() == [7, -1, -1, -1, -1]
    none = read(proto(DType.HALF, (3,)))
    assert none is not None
    assert none.array.tolist() == [0, 0, 0]


def test_strings() -> None:
    tensor = read(proto(DType.STRING, (2, 2), string_val=[b"a", b"\x00\xff"]))
    assert tensor is not None
    assert tensor.array.tolist() == [[b"a", b"\x00\xff"], [b"\x00\xff", b"\x00\xff"]]
    assert tensor.nbytes == 1 + 3 * 2
    assert read(written(tensor)) == tensor
    empty = read(proto(DType.STRING, (1000, 1000)))
    assert empty is not None
    assert (empty.nbytes, written(empty).ByteSize() < 30) == (0, True)


def test_strings_packed_into_content_are_carried_through() -> None:
    message = AttrValue(tensor=proto(DType.STRING, (1,), tensor_content=b"\x03abc"))
    assert isinstance(decode_attr(memoryview(message.SerializeToString())), RawAttr)


def test_equality_is_of_bits() -> None:
    nan = Tensor.of([np.nan, 0.0], DType.FLOAT)
    assert nan == Tensor.of([np.nan, 0.0], DType.FLOAT)
    assert nan != Tensor.of([np.nan, -0.0], DType.FLOAT)
    assert nan != Tensor.of([[np.nan, 0.0]], DType.FLOAT)
    assert Tensor.of([1], DType.INT8) != Tensor.of([1], DType.QINT8)
    assert nan != "a tensor"


def test_a_tensor_is_read_only_and_typed() -> None:
    tensor = Tensor.of([1.0, 2.0], DType.FLOAT)
    with pytest.raises(ValueError, match="read-only"):
        tensor.array[0] = 3
    with pytest.raises(TypeError, match="float32 can't hold"):
        Tensor(DType.FLOAT, np.zeros(2, np.int32))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (proto(DType.FLOAT, (2, 3), tensor_content=bytes(20)), "asks for 24 bytes, and 20 are there"),
        (proto(DType.FLOAT, (2,), tensor_content=bytes(20)), "asks for 8 bytes, and 20 are there"),
        (proto(DType.INT32, (2,), int_val=[1, 2, 3]), "holds 2 values, and 3 are there"),
        (proto(DType.STRING, (), string_val=[b"a", b"b"]), "holds 1 values, and 2 are there"),
        (proto(DType.FLOAT, (-1, 3), float_val=[1]), "no definite shape"),
        (proto(DType.FLOAT, (2**40,), float_val=[1]), "more than the 2 GB"),
        (proto(DType.FLOAT, (2**62, 2**62, 2**62), float_val=[1]), "more than the 2 GB"),
        (proto(DType.FLOAT, (2**28,), float_val=[1, 2]), "asks for 1,073,741,824 bytes, and 2 values are there"),
        (proto(DType.STRING, (2**27,), string_val=[b"a", b"b"]), "and 2 values are there"),
        (TensorProto(dtype=1, tensor_shape={"unknown_rank": True}, float_val=[1]), "no definite shape"),
    ],
)
def test_a_constant_that_lies_about_its_shape(message: TensorProto, words: str) -> None:
    with pytest.raises(wire.WireError, match=words):
        read(message)


def test_one_value_in_a_huge_shape_takes_no_memory() -> None:
    tensor = read(proto(DType.FLOAT, (2**14, 2**14), float_val=[0.5]))
    assert tensor is not None
    assert tensor.array.base is not None
    assert tensor.array.strides == (0, 0)
    assert tensor == read(proto(DType.FLOAT, (2**14, 2**14), float_val=[0.5]))


@pytest.mark.parametrize(
    "message", [proto(DType.RESOURCE, (1,)), proto(DType.VARIANT, ()), proto(DType.FLOAT, (1,) * 65, float_val=[1])]
)
def test_what_numpy_does_not_know_is_not_decoded(message: TensorProto) -> None:
    assert read(message) is None


@pytest.mark.parametrize("field", [b"\x29" + bytes(8), b"\x28\x01", b"\x2a\x03abc", b"\x35" + bytes(4)])
def test_numbers_of_the_wrong_size(field: bytes) -> None:
    dtype = DType.DOUBLE if field[0] >> 3 == 6 else DType.FLOAT
    with pytest.raises(wire.WireError):
        decode_tensor(memoryview(proto(dtype, (1,)).SerializeToString() + field))


def hand_made() -> list[TensorProto]:
    """The compressed forms in which TensorFlow's C++ and older tools store constants."""
    halves = np.array([1.5, -2, np.inf], np.float16).view(np.uint16).tolist()
    brains = np.array([1.5, -2, 3e38], ml_dtypes.bfloat16).view(np.uint16).tolist()
    return [
        proto(DType.FLOAT, (2, 3), float_val=[1.5]),
        proto(DType.FLOAT, (2, 3), float_val=[1, 2, 3]),
        proto(DType.FLOAT, (2, 3)),
        proto(DType.FLOAT, (), float_val=[np.nan]),
        proto(DType.FLOAT, (0,)),
        proto(DType.DOUBLE, (4,), double_val=[1e300, -2]),
        proto(DType.HALF, (2, 2), half_val=halves),
        proto(DType.BFLOAT16, (3,), half_val=brains),
        proto(DType.INT32, (3,), int_val=[-(2**31), 2**31 - 1]),
        *(proto(dtype, (3,), int_val=[-128, 127]) for dtype in (DType.INT8, DType.QINT8)),
        *(proto(dtype, (3,), int_val=[0, 255]) for dtype in (DType.UINT8, DType.QUINT8)),
        *(proto(dtype, (3,), int_val=[-7, 7, 3]) for dtype in (DType.INT16, DType.QINT16, DType.QINT32, DType.INT4)),
        *(proto(dtype, (3,), int_val=[3, 1, 2]) for dtype in (DType.UINT16, DType.QUINT16, DType.UINT4, DType.UINT2)),
        proto(DType.INT2, (3,), int_val=[-2, 1]),
        proto(DType.INT64, (2,), int64_val=[-(2**63), 2**63 - 1]),
        proto(DType.UINT32, (2,), uint32_val=[2**32 - 1]),
        proto(DType.UINT64, (2,), uint64_val=[2**64 - 1, 1]),
        proto(DType.BOOL, (4,), bool_val=[True, False]),
        proto(DType.COMPLEX64, (2,), scomplex_val=[1, 2, 3, -4]),
        proto(DType.COMPLEX128, (2,), dcomplex_val=[1, 2]),
        proto(DType.STRING, (2,), string_val=[b"x", b"\xff"]),
        proto(DType.FLOAT8_E5M2, (2,), float8_val=b"\x3c\xbc"),
        proto(DType.FLOAT8_E4M3FN, (3,), float8_val=b"\x38\x01\x7f"),
    ]


@pytest.mark.tensorflow
def test_tensorflow_reads_the_same_values() -> None:
    tf = tensorflow()
    made = [
        tf.make_tensor_proto(sample(dtype, shape).array) for dtype in RUNNABLE for shape in ((), (5,), (2, 3), (0,))
    ]
    made += [tf.make_tensor_proto(np.full((4, 4), 2.5, np.float32)), tf.make_tensor_proto([b"a", b"bc"])]
    types = {type(made[0]).FromString(message.SerializeToString()).dtype for message in made}
    assert len(types) > 20
    for message in [*made, *(type(made[0]).FromString(m.SerializeToString()) for m in hand_made())]:
        tensor = decode_tensor(memoryview(message.SerializeToString()))
        assert tensor is not None, message
        expected = tf.make_ndarray(message)
        assert tensor.array.shape == expected.shape
        if tensor.dtype == DType.STRING:
            assert tensor.array.tolist() == expected.tolist()
        else:
            assert tensor.array.tobytes() == expected.astype(tensor.array.dtype).tobytes(), message


@pytest.mark.tensorflow
def test_tensorflow_reads_what_was_written() -> None:
    tf = tensorflow()
    kind = type(tf.make_tensor_proto(1))
    for dtype in RUNNABLE:
        for shape in ((), (5,), (2, 3)):
            tensor = sample(dtype, shape)
            message = kind.FromString(b"".join(attr_value.encode_tensor(tensor)))
            expected = tf.make_ndarray(message).astype(dtype.numpy)
            assert expected.tobytes() == tensor.array.tobytes(), dtype
