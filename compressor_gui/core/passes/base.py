"""What a pass is: a frozen dataclass whose fields are its parameters.

From that one declaration come the form in the window, the command line's ``--pass 'name(field=value)'``, the recipe's
JSON and the help page. A new pass is one file, one entry in ``ALL``, one test file.
"""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from compressor_gui.core.collector import collector_paused
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import CompressorError, PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.wording import did_you_mean
from compressor_gui.core.ranges_file import read_json, read_ranges
from compressor_gui.core.verify import verify

Kind = Literal["number", "integer", "flag", "choice", "text", "names", "amounts", "ranges", "renames"]
"""How a parameter is edited and stored: a float, an int, a bool, one of ``choices``, a string, a tuple of node names,
and three maps kept as sorted tuples of pairs: name -> float, name -> (min, max), name -> name."""

Names = tuple[str, ...]
Amounts = tuple[tuple[str, float], ...]
Ranges = tuple[tuple[str, tuple[float, float]], ...]
Renames = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Param:
    """What a form, an option and a help page need to know about one field of a pass."""

    kind: Kind
    label: str
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    start: Any = None


def param(
    default: Any,
    kind: Kind,
    label: str,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
    required: bool = False,
    start: Any = None,
) -> Any:
    """A dataclass field that is a pass's parameter; a default of None means that it may be left out.

    ``required``: the pass can't run with the default, which only stands for what is still to be filled in. ``start``:
    what a form begins with where the default would change nothing.
    """
    spec = Param(kind, label, help, minimum, maximum, unit, choices, required, start)
    return field(default=default, metadata={"param": spec})


@dataclass(frozen=True)
class PassResult:
    """The next version of a graph, and the explanation of every difference.

    ``origins``: new or changed node -> the old nodes it came from; ``removed``: old node -> why it is gone; ``notes``:
    sentences for the user (what was skipped and why); ``left``: node -> why it is as it was, where the graph itself
    does not show that (it was skipped by name), as the beginning of a sentence.
    """

    graph: ModelGraph
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether the pass found anything to do."""
        return bool(self.origins or self.removed)


def result(
    edit: Edit,
    notes: Iterable[str] = (),
    outputs: Iterable[str] | None = None,
    left: Mapping[str, str] | None = None,
) -> PassResult:
    """Finish an edit."""
    return PassResult(edit.finish(outputs), edit.origins, edit.removed, tuple(notes), left or {})


def checked(transform: Pass, done: PassResult, before: ModelGraph) -> PassResult:
    """``done``, by a pass that does what it is told even where that breaks a graph. Raises PassError where it did."""
    try:
        verify(done.graph, before=before)
    except CompressorError as error:
        hint = "TensorFlow would refuse the graph"
        raise PassError(f"{error.where}: {error.what}", where=transform.label(), hint=hint) from None
    return done


@dataclass(frozen=True)
class Pass:
    """One transform of a graph. Subclasses are frozen dataclasses with ``name``, ``title`` and ``summary``.

    ``name`` is the Graph Transform Tool's where the meaning is the same; it is what recipes store.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for key, spec in self.params().items():
            object.__setattr__(self, key, self._coerced(key, spec, getattr(self, key)))

    def run(self, graph: ModelGraph) -> PassResult:
        """The transformed graph; ``graph`` stays as it is. Raises PassError where the parameters don't fit it."""
        raise NotImplementedError

    def factors(self, graph: ModelGraph) -> dict[str, np.ndarray]:
        """Node of ``graph`` -> by what the pass multiplies its value along the last axis, as one that rescales channels
        does, which takes it back where they are read. Most passes leave values as they are."""
        return {}

    @classmethod
    def params(cls) -> dict[str, Param]:
        """The parameters, in order of declaration."""
        return {f.name: f.metadata["param"] for f in dataclasses.fields(cls) if "param" in f.metadata}

    @classmethod
    def default(cls, key: str) -> Any:
        """A parameter's default."""
        return next(f.default for f in dataclasses.fields(cls) if f.name == key)

    @classmethod
    def started(cls) -> Pass:
        """The pass as a form begins with it."""
        return cls(**{key: spec.start for key, spec in cls.params().items() if spec.start is not None})

    def chosen(self) -> dict[str, Any]:
        """The parameters that are not at their default."""
        return {key: getattr(self, key) for key in self.params() if getattr(self, key) != self.default(key)}

    def label(self) -> str:
        """A brief line for a recipe, which leaves out all but the first of many: ``prune(layers=[fc1: 0.9, +3])``."""
        return f"{self.name}({', '.join(f'{k}={_brief(v)}' for k, v in self.chosen().items())})"

    def call(self) -> str:
        """The whole pass as :func:`parse_call` reads it: ``prune(layers={'fc1': 0.9})``."""
        values = self.to_json()
        return f"{self.name}({', '.join(f'{key}={_written(values[key])}' for key in self.chosen())})"

    def to_json(self) -> dict[str, Any]:
        """``{"pass": name, parameter: value, ...}``, all parameters written out, maps as objects."""
        out: dict[str, Any] = {"pass": self.name}
        for key, spec in self.params().items():
            value = getattr(self, key)
            if spec.kind in ("amounts", "ranges", "renames"):
                value = {name: list(v) if isinstance(v, tuple) else v for name, v in value}
            out[key] = list(value) if isinstance(value, tuple) else value
        return out

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, files: bool = False) -> Pass:
        """A pass from its parameters. Raises PassError naming a parameter that does not exist or has a wrong value.

        ``files``: text for a map names the file that holds it, read now. What the user types may do that, a recipe not:
        others write recipes, and to replay one must not open what they name.
        """
        unknown = [key for key in values if key not in cls.params()]
        if unknown:
            hint = did_you_mean(unknown[0], cls.params(), f"there are: {', '.join(cls.params()) or 'none'}")
            raise PassError(f"there is no parameter {unknown[0]!r}", where=cls.name, hint=hint)
        return cls(**({key: cls._read(key, value) for key, value in values.items()} if files else values))

    @classmethod
    def _read(cls, key: str, value: Any) -> Any:
        read = _READ.get(cls.params()[key].kind)
        if read is None or not isinstance(value, str):
            return value
        try:
            return read(value)
        except CompressorError as error:
            raise PassError(f"{key}: {error}", where=cls.name) from None

    def _coerced(self, key: str, spec: Param, value: Any) -> Any:
        if value is None and self.default(key) is None:
            return None
        try:
            value = _COERCE[spec.kind](value)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            hint = "write 80 % as 0.8" if isinstance(value, str) and value.endswith("%") else ""
            raise PassError(f"{key}={value!r} is not {_WORDS[spec.kind]}", where=self.name, hint=hint) from None
        if spec.choices and value not in spec.choices:
            raise PassError(f"{key}={value!r} is not one of {', '.join(spec.choices)}", where=self.name)
        if spec.kind == "amounts":
            for name, number in value:
                self._check_bounds(f"{key}[{name!r}]", spec, number)
        elif spec.kind in ("number", "integer"):
            self._check_bounds(key, spec, value)
        return value

    def _check_bounds(self, key: str, spec: Param, number: float) -> None:
        low, high = spec.minimum, spec.maximum
        if math.isfinite(number) and (low is None or number >= low) and (high is None or number <= high):
            return
        parts = [f"at least {low:g}"] if low is not None else []
        parts += [f"at most {high:g}"] if high is not None else []
        hint = f"write {number:g} % as {number / 100:g}" if high == 1 < number <= 100 else ""
        words = f"{key}={number:g} must be {' and '.join(parts) or 'a finite number'}"
        raise PassError(words, where=self.name, hint=hint)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]


def _integer(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    return float(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _names(value: Any) -> Names:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return tuple(_string(name) for name in value)


def _pairs(value: Any) -> dict[str, Any]:
    return {_string(k): v for k, v in dict(value).items()}


def _range(value: Any) -> tuple[float, float]:
    low, high = value
    return _number(low), _number(high)


_COERCE: dict[Kind, Any] = {
    "number": _number,
    "integer": _integer,
    "flag": _flag,
    "choice": _string,
    "text": _string,
    "names": _names,
    "amounts": lambda value: tuple(sorted((k, _number(v)) for k, v in _pairs(value).items())),
    "ranges": lambda value: tuple(sorted((k, _range(v)) for k, v in _pairs(value).items())),
    "renames": lambda value: tuple(sorted((k, _string(v)) for k, v in _pairs(value).items())),
}
_READ: dict[Kind, Callable[[str], Any]] = {"amounts": read_json, "ranges": read_ranges, "renames": read_json}
"""How a file of a parameter's kind is read."""
_WORDS: dict[Kind, str] = {
    "number": "a number",
    "integer": "a whole number",
    "flag": "true or false",
    "choice": "text",
    "text": "text",
    "names": "a list of names",
    "amounts": "a map of names to numbers",
    "ranges": "a map of names to [min, max]",
    "renames": "a map of names to names",
}


def _written(value: Any) -> str:
    """A value from a parameter's JSON as a call has it."""
    if isinstance(value, bool):
        return str(value).lower()
    bare = isinstance(value, str) and value.isidentifier() and value not in ("True", "False", "None")
    return value if bare else repr(value)


def _brief(value: Any) -> str:
    if isinstance(value, tuple):
        first = value[0] if value else ""
        one = f"{first[0]}: {_brief(first[1])}" if isinstance(first, tuple) else str(first)
        return f"[{one}]" if len(value) < 2 else f"[{one}, +{len(value) - 1}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


@collector_paused()
def apply(transform: Pass, graph: ModelGraph) -> PassResult:
    """Run a pass, verify what it made, and check that it explains every difference.

    Raises PassError where the parameters don't fit the graph; a pass that breaks the graph or leaves a difference
    unexplained raises AssertionError (a bug, not the user's doing).
    """
    done = transform.run(graph)
    try:
        verify(done.graph, before=graph)
    except CompressorError as error:
        raise AssertionError(f"{transform.name} made a broken graph: {error}") from error
    for node in done.graph.nodes:
        if graph.get(node.name) is not node and node.name not in done.origins:
            raise AssertionError(f"{transform.name} does not say where {node.name} came from")
        for origin in done.origins.get(node.name, ()):
            assert origin in graph, f"{transform.name}: {node.name} came from {origin}, which was not there"
    explained = {name for origins in done.origins.values() for name in origins} | set(done.removed)
    for name in graph:
        if name not in done.graph and name not in explained:
            raise AssertionError(f"{transform.name} does not say why {name} is gone")
    return done


_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_ARGUMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.+?)\s*", re.DOTALL)
_BARE = re.compile(r"""[^\s'"()\[\]{}=]+""")
_OPEN = {"(": ")", "[": "]", "{": "}"}


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``name(key=value, ...)``. Raises PassError.

    Values are Python's: numbers, quoted text, lists, and maps as ``{'layer': 0.5}``. Text without blanks and brackets
    needs no quotes, so that ``true``, ``a/b`` and ``ranges.json`` stand for themselves.
    """
    call = _CALL.fullmatch(text)
    arguments = _split(call[2] or "") if call else None
    pairs = [_ARGUMENT.fullmatch(argument) for argument in arguments or ()]
    if call is None or arguments is None or None in pairs:
        hint = "write name(parameter=value), for example prune(sparsity=0.8)"
        raise PassError(f"{_shortened(text)!r} is not a pass", hint=hint)
    values: dict[str, Any] = {}
    for pair in filter(None, pairs):
        if pair[1] in values:
            raise PassError(f"{pair[1]} is given twice", where=call[1], hint="leave one of them out")
        values[pair[1]] = _value(call[1], pair[1], pair[2])
    return call[1], values


def _value(name: str, key: str, text: str) -> Any:
    """What a parameter is given. Raises PassError."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        if _BARE.fullmatch(text):
            return text
        raise PassError(f"{key}={_shortened(text)} is not a value", where=name, hint="put text in quotes") from None


def _split(text: str) -> list[str] | None:
    """The arguments between commas that no quotes and brackets enclose; None where these are not closed."""
    found, start, closing, quote, escaped = [], 0, [], "", False
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and not escaped else quote
            escaped = letter == "\\" and not escaped
        elif letter in "'\"":
            quote = letter
        elif letter in _OPEN:
            closing.append(_OPEN[letter])
        elif letter in ")]}":
            if not closing or closing.pop() != letter:
                return None
        elif letter == "," and not closing:
            found.append(text[start:at])
            start = at + 1
    if closing or quote:
        return None
    return [*found, text[start:]] if text[start:].strip() else found


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
