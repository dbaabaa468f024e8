"""The lines that a worker process and its client exchange: one JSON object a line, versioned and checked on both sides.

To the worker: ``{"v": 1, "id": 7, "ask": "check_export", "with": {...}}``, ``{"v": 1, "cancel": 7}`` and
``{"v": 1, "tell": 7, "word": "pause" | "go_on" | "finish"}``.
From it: ``{"v": 1, "id": 7, "event": "progress" | "piece" | "done" | "failed" | "cancelled",
"with": {...}}``.
What stands under ``with`` is a frozen dataclass whose annotations are the schema.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Generic, Literal, Self, TypeVar, get_args

VERSION = 1
MAX_LINE = 16 << 20
"""Bytes of the longest line; what is larger belongs into a file whose path is sent."""

Word = Literal["pause", "go_on", "finish"]
"""What a job that is under way can be told, beside to be cancelled: to wait, to go on, to come to its end with what it
has. Jobs that can't do so go on as they are."""
WORDS: tuple[Word, ...] = get_args(Word)

R = TypeVar("R")


class ProtocolError(ValueError):
    """A line that breaks the protocol."""


@dataclass(frozen=True)
class Request(Generic[R]):
    """Something that a worker can be asked. Subclasses are frozen dataclasses with a ``name`` and an ``answer``."""

    name: ClassVar[str] = ""
    answer: ClassVar[type] = dict
    piece: ClassVar[type | None] = None
    """What comes before the answer, piece by piece; None: nothing does."""

    timed: ClassVar[bool] = False
    """Whether the answer is a time: the process must not give way to others meanwhile."""

    def after_crash(self) -> Self | None:
        """What to ask a new process when the old one crashed on this request; None gives up."""
        return None

    def given_up(self, reason: str) -> str:
        """What to say when the process crashed, for ``reason``, and nothing is left to ask."""
        return reason

    def environment(self) -> dict[str, str]:
        """Variables that the process must have been started with; one that has others is replaced."""
        return {}


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` steps (``total`` 0: unknown), and what is under way."""

    done: int
    total: int
    message: str = ""


@dataclass(frozen=True)
class Piece:
    """A part of the answer that is ready already."""

    part: Any


@dataclass(frozen=True)
class Done:
    """The request's answer."""

    result: Any


@dataclass(frozen=True)
class Failed:
    """What is wrong, where, and what to do about it."""

    what: str
    where: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Cancelled:
    """The job was cancelled, or its worker closed."""


@dataclass(frozen=True)
class Died:
    """The worker's process ended during the job: why (a sentence), whether it crashed, the last lines it wrote."""

    reason: str
    crashed: bool = False
    details: str = ""


Event = Progress | Piece | Done | Failed | Cancelled | Died
_EVENTS: dict[str, type] = {
    "progress": Progress,
    "piece": Piece,
    "done": Done,
    "failed": Failed,
    "cancelled": Cancelled,
}
_NAMES = {kind: name for name, kind in _EVENTS.items()}


def request_line(job: int, request: Request) -> bytes:
    """Write a request. Raises ProtocolError when it is too long or can't be JSON."""
    return _line({"id": job, "ask": request.name, "with": dataclasses.asdict(request)})


def cancel_line(job: int) -> bytes:
    """Write the wish to cancel a job."""
    return _line({"cancel": job})


def word_line(job: int, word: Word) -> bytes:
    """Write a word to a job that is under way."""
    return _line({"tell": job, "word": word})


def event_line(job: int, event: Event) -> bytes:
    """Write an event. Raises ProtocolError when its result is too long or can't be JSON (NaN can't)."""
    return _line({"id": job, "event": _NAMES[type(event)], "with": dataclasses.asdict(event)})


def parse_request(line: bytes, known: Iterable[type[Request]]) -> tuple[int, Request | Word | None]:
    """Read a line sent to a worker: the job and its request, or a word to it, or None to cancel it.

    Raises ProtocolError.
    """
    data = _parse(line)
    if "cancel" in data:
        return build(data["cancel"], int), None
    if "tell" in data:
        if data.get("word") not in WORDS:
            raise ProtocolError(f"there is no word {data.get('word')!r}")
        return build(data["tell"], int), data["word"]
    kind = next((kind for kind in known if kind.name == data.get("ask")), None)
    if kind is None:
        raise ProtocolError(f"there is no request {data.get('ask')!r}")
    return build(data.get("id"), int), build(data.get("with"), kind, "request")


def parse_event(line: bytes, request: type[Request]) -> tuple[int, Event]:
    """Read a line that a worker sent in answer to a ``request``. Raises ProtocolError."""
    data = _parse(line)
    kind = _EVENTS.get(data.get("event", ""))
    if kind is None:
        raise ProtocolError(f"there is no event {data.get('event')!r}")
    event: Event = build(data.get("with"), kind, "event")
    if isinstance(event, Done):
        event = Done(build(event.result, request.answer, "result"))
    elif isinstance(event, Piece):
        event = Piece(build(event.part, request.piece, "part"))
    return build(data.get("id"), int), event


def read_line(stream: BinaryIO) -> bytes:
    """The next line, empty at the end. Raises ProtocolError for one that is too long, having read past it."""
    line = stream.readline(MAX_LINE + 1)
    if len(line) <= MAX_LINE:
        return line
    while line and not line.endswith(b"\n"):
        line = stream.readline(MAX_LINE)
    raise ProtocolError(f"a line is longer than {MAX_LINE >> 20} MB")


def _line(data: dict[str, Any]) -> bytes:
    try:
        line = json.dumps({"v": VERSION, **data}, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    except (ValueError, TypeError) as error:
        raise ProtocolError(f"it can't be sent: {error}") from None
    if len(line) > MAX_LINE:
        raise ProtocolError(f"it can't be sent: it has {len(line) / 2**20:.0f} MB, and {MAX_LINE >> 20} are allowed")
    return line


def _parse(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError(f"{line[:60]!r} is not JSON") from None
    if not isinstance(data, dict) or data.get("v") != VERSION:
        raise ProtocolError(f"{line[:60]!r} is not a message of version {VERSION}")
    return data


def build(value: Any, kind: Any, where: str = "message") -> Any:
    """Make what the annotation ``kind`` asks for from plain JSON. Raises ProtocolError naming the place.

    Known are Any, None, bool, int, float, str, unions, ``tuple[X, ...]``, ``tuple[X, Y]``, ``dict[str, X]`` and
    dataclasses of these.
    """
    if kind is Any:
        return value
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        for option in args:
            try:
                return build(value, option, where)
            except ProtocolError:
                continue
    elif origin is tuple and isinstance(value, list):
        kinds = args[:1] * len(value) if args[-1] is Ellipsis else args
        if len(kinds) == len(value):
            return tuple(build(v, k, f"{where}[{i}]") for i, (v, k) in enumerate(zip(value, kinds, strict=True)))
    elif (origin or kind) is dict and isinstance(value, dict):
        return {key: build(v, args[1], f"{where}.{key}") for key, v in value.items()} if args else value
    elif dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return _build_dataclass(value, kind, where)
    elif kind in (None, type(None)) and value is None:
        return None
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif kind in (bool, int, str) and type(value) is kind:
        return value
    raise ProtocolError(f"{where} is not {getattr(kind, '__name__', kind)}")


def _build_dataclass(value: dict[str, Any], kind: type, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    unknown = value.keys() - set(names)
    if unknown:
        raise ProtocolError(f"{where} has no {min(unknown)!r}")
    try:
        return kind(**{name: build(value[name], hints[name], f"{where}.{name}") for name in names if name in value})
    except TypeError as error:
        raise ProtocolError(f"{where}: {error}") from None
