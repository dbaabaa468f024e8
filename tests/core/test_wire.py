"""The wire format, against protobuf's own encoder and against broken bytes."""

import numpy as np
import pytest
from google.protobuf.internal import encoder
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import wire

UINT64 = st.integers(0, 2**64 - 1)


def reference_varint(value: int) -> bytes:
    out: list[bytes] = []
    encoder._EncodeVarint(out.append, value, True)
    return b"".join(out)


@given(UINT64)
def test_a_varint_is_written_and_read_as_protobuf_does(value: int) -> None:
    assert wire.put_varint(value) == reference_varint(value)
    assert wire.varint(memoryview(wire.put_varint(value)), 0) == (value, len(reference_varint(value)))


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_numbers_are_two_complements(value: int) -> None:
    assert wire.signed(wire.varint(wire.put_varint(value), 0)[0]) == value


@given(st.lists(UINT64, max_size=50))
def test_packed_varints(values: list[int]) -> None:
    data = b"".join(map(wire.put_varint, values))
    assert wire.packed_varints(memoryview(data)).tolist() == values
    narrow = wire.packed_varints(memoryview(data), np.dtype("i4"))
    assert narrow.tolist() == np.array(values, np.uint64).astype("i4").tolist()


def test_packed_varints_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_CHUNK", 7)
    values = [0, 1, 127, 128, 300, 2**21, 2**35, 2**64 - 1] * 9
    data = b"".join(map(wire.put_varint, values))
    assert wire.packed_varints(memoryview(data)).tolist() == values


def test_fields_come_in_file_order_as_views() -> None:
    data = wire.put_int(1, 7) + wire.put_bytes(2, b"ab", b"c") + b"\x1d\x00\x00\x80\x3f" + b"\x21" + bytes(range(8))
    found = list(wire.fields(memoryview(data)))
    assert [(number, kind) for number, kind, _ in found] == [
        (1, wire.VARINT),
        (2, wire.BYTES),
        (3, wire.FIXED32),
        (4, wire.FIXED64),
    ]
    assert found[0][2] == 7
    assert isinstance(found[1][2], memoryview)
    assert found[1][2].obj is data
    assert found[2][2] == 0x3F800000
    assert found[3][2] == int.from_bytes(range(8), "little")
    spans = [(start, end) for *_, start, end in wire.spans(memoryview(data))]
    assert spans == [(0, 2), (2, 7), (7, 12), (12, 21)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x08", "cut off"),
        (b"\x08\x80", "cut off"),
        (b"\x08" + b"\xff" * 11, "longer than ten bytes"),
        (b"\xff" * 11, "longer than ten bytes"),
        (b"\x0a", "cut off"),
        (b"\x0a\x05abc", "5 bytes long, and 3 are left"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "bytes long, and 0 are left"),
        (b"\x0d\x00\x00", "cut off"),
        (b"\x09\x00\x00\x00\x00", "cut off"),
        (b"\x00\x00", "field number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
    ],
)
def test_broken_messages(data: bytes, words: str) -> None:
    with pytest.raises(wire.WireError, match=words):
        list(wire.fields(memoryview(data)))


@pytest.mark.parametrize(("data", "words"), [(b"\x01\x80", "cut off"), (b"\xff" * 11 + b"\x01", "ten bytes")])
def test_broken_packed_lists(data: bytes, words: str) -> None:
    with pytest.raises(wire.WireError, match=words):
        wire.packed_varints(memoryview(data))


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_an_error(data: bytes) -> None:
    try:
        parts = [data[start:end] for *_, start, end in wire.spans(memoryview(data))]
    except wire.WireError:
        return
    assert b"".join(parts) == data


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_same_bytes(a: bytes, b: bytes) -> None:
    assert wire.same_bytes(memoryview(a), memoryview(b)) == (a == b)
    assert wire.same_bytes(memoryview(a), memoryview(bytes(bytearray(a))))
