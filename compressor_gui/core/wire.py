"""Protocol buffers' wire format, read without copying.

A field is ``(number, wire type, value)``: an int for varints and fixed-width fields (their raw bits), a memoryview on
the caller's buffer for length-delimited ones. Only what GraphDef needs is here; groups are refused. See
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MASK64 = (1 << 64) - 1
_CHUNK = 1 << 20
_ONE_BYTE = tuple(bytes([value]) for value in range(128))


class WireError(ValueError):
    """Bytes that are not a well-formed message."""


def varint(buf: memoryview | bytes, pos: int) -> tuple[int, int]:
    """Read the varint at ``pos``; return it with the position behind it."""
    result = shift = 0
    while True:
        try:
            byte = buf[pos]
        except IndexError:
            raise WireError("a number is cut off") from None
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & _MASK64, pos
        shift += 7
        if shift > 63:
            raise WireError("a number is longer than ten bytes")


def fields(buf: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield every field of the message in ``buf``, in file order. Raises WireError."""
    for number, wire, value, _start, _end in spans(buf):
        yield number, wire, value


def spans(buf: memoryview) -> Iterator[tuple[int, int, int | memoryview, int, int]]:
    """Like :func:`fields`, with the start and end offset of each field (tag included)."""
    pos, end = 0, len(buf)
    while pos < end:
        start = pos
        tag = buf[pos]
        pos += 1
        if tag >= 0x80:
            tag, pos = varint(buf, start)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise WireError("field number 0 does not exist")
        value: int | memoryview
        if wire == BYTES:
            try:
                size = buf[pos]
            except IndexError:
                raise WireError("a field is cut off") from None
            pos += 1
            if size >= 0x80:
                size, pos = varint(buf, pos - 1)
            stop = pos + size
            if stop > end:
                raise WireError(f"field {number} says it is {size:,} bytes long, and {end - pos:,} are left")
            value = buf[pos:stop]
            pos = stop
        elif wire == VARINT:
            value, pos = varint(buf, pos)
        elif wire in (FIXED32, FIXED64):
            stop = pos + (4 if wire == FIXED32 else 8)
            if stop > end:
                raise WireError("a field is cut off")
            value = int.from_bytes(buf[pos:stop], "little")
            pos = stop
        else:
            raise WireError(f"wire type {wire} is not used by graphs")
        yield number, wire, value, start, pos


def packed_varints(buf: memoryview, dtype: np.dtype | type = np.uint64) -> np.ndarray:
    """Decode a packed run of varints, vectorised; numbers too large for ``dtype`` wrap around.

    Raises WireError when the last one is cut off. The work is done a megabyte at a time: it needs many times the
    space of what it reads.
    """
    raw = np.frombuffer(buf, np.uint8)
    if raw.size and raw[-1] >= 0x80:
        raise WireError("a packed list of numbers is cut off")
    out = np.empty(int(np.count_nonzero(raw < 0x80)), dtype)
    start = done = 0
    while start < raw.size:
        stop = min(start + _CHUNK, raw.size)
        while raw[stop - 1] >= 0x80:  # a number that began in this chunk ends in it
            stop += 1
        numbers = _varints_in(raw[start:stop])
        out[done : done + numbers.size] = numbers.astype(dtype)
        start, done = stop, done + numbers.size
    return out


def _varints_in(raw: np.ndarray) -> np.ndarray:
    ends = np.flatnonzero(raw < 0x80)
    if ends.size == raw.size:
        return raw.astype(np.uint64)
    starts = np.concatenate(([0], ends[:-1] + 1))
    if int((ends - starts).max()) > 9:
        raise WireError("a number is longer than ten bytes")
    which = np.repeat(np.arange(ends.size), ends - starts + 1)
    shift = (np.arange(raw.size) - starts[which]).astype(np.uint64) * np.uint64(7)
    parts = (raw & 0x7F).astype(np.uint64) << shift
    return np.add.reduceat(parts, starts)


def signed(value: int) -> int:
    """The int64 that an unsigned 64-bit varint stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def same_bytes(a: memoryview, b: memoryview) -> bool:
    """Whether two buffers hold the same bytes (memoryviews compare one item at a time, which is slow)."""
    return len(a) == len(b) and bool(np.array_equal(np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8)))


def put_varint(value: int) -> bytes:
    """Encode ``value`` (negative numbers as 64-bit two's complement)."""
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if value < 0:
        value += 1 << 64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_int(number: int, value: int) -> bytes:
    """Encode a varint field."""
    return put_varint(number << 3 | VARINT) + put_varint(value)


def put_bytes(number: int, *parts: bytes | memoryview) -> bytes:
    """Encode a length-delimited field whose content is ``parts`` joined."""
    return b"".join((put_varint(number << 3 | BYTES), put_varint(sum(len(p) for p in parts)), *parts))
