"""What a pass is: a frozen dataclass whose fields are its parameters.

From that one declaration come the form in the window, the command line's ``--pass 'name(field=value)'``, the recipe's
JSON and the help page. A new pass is one file, one entry in ``ALL``, one test file.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from compressor_gui.core.errors import CompressorError, PassError
from compressor_gui.core.graph import Edit, ModelGraph
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
) -> Any:
    """A dataclass field that is a pass's parameter; a default of None means that it may be left out."""
    return field(default=default, metadata={"param": Param(kind, label, help, minimum, maximum, unit, choices)})


@dataclass(frozen=True)
class PassResult:
    """The next version of a graph, and the explanation of every difference.

    ``origins``: new or changed node -> the old nodes it came from; ``removed``: old node -> why it is gone; ``notes``:
    sentences for the user (what was skipped and why).
    """

    graph: ModelGraph
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the pass found anything to do."""
        return bool(self.origins or self.removed)


def result(edit: Edit, notes: Iterable[str] = (), outputs: Iterable[str] | None = None) -> PassResult:
    """Finish an edit."""
    return PassResult(edit.finish(outputs), edit.origins, edit.removed, tuple(notes))


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

    @classmethod
    def params(cls) -> dict[str, Param]:
        """The parameters, in order of declaration."""
        return {f.name: f.metadata["param"] for f in dataclasses.fields(cls) if "param" in f.metadata}

    @classmethod
    def default(cls, key: str) -> Any:
        """A parameter's default."""
        return next(f.default for f in dataclasses.fields(cls) if f.name == key)

    def chosen(self) -> dict[str, Any]:
        """The parameters that are not at their default."""
        return {key: getattr(self, key) for key in self.params() if getattr(self, key) != self.default(key)}

    def label(self) -> str:
        """One line for a recipe: ``prune(sparsity=0.8)``."""
        return f"{self.name}({', '.join(f'{k}={_brief(v)}' for k, v in self.chosen().items())})"

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
    def from_values(cls, values: Mapping[str, Any]) -> Pass:
        """A pass from its parameters. Raises PassError naming a parameter that does not exist or has a wrong value."""
        unknown = [key for key in values if key not in cls.params()]
        if unknown:
            known = ", ".join(cls.params()) or "none"
            raise PassError(f"there is no parameter {unknown[0]!r}", where=cls.name, hint=f"there are: {known}")
        return cls(**values)

    def _coerced(self, key: str, spec: Param, value: Any) -> Any:
        if value is None and self.default(key) is None:
            return None
        try:
            value = _COERCE[spec.kind](value)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            raise PassError(f"{key}={value!r} is not {_WORDS[spec.kind]}", where=self.name) from None
        except CompressorError as error:
            raise PassError(f"{key}: {error}", where=self.name) from None
        if spec.choices and value not in spec.choices:
            raise PassError(f"{key}={value!r} is not one of {', '.join(spec.choices)}", where=self.name)
        if spec.kind == "amounts":
            for _, number in value:
                self._check_bounds(key, spec, number)
        elif spec.kind in ("number", "integer"):
            self._check_bounds(key, spec, value)
        return value

    def _check_bounds(self, key: str, spec: Param, number: float) -> None:
        low, high = spec.minimum, spec.maximum
        if math.isfinite(number) and (low is None or number >= low) and (high is None or number <= high):
            return
        parts = [f"at least {low:g}"] if low is not None else []
        parts += [f"at most {high:g}"] if high is not None else []
        raise PassError(f"{key}={number:g} must be {' and '.join(parts) or 'a finite number'}", where=self.name)


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


def _pairs(value: Any, read: Callable[[str], Any] = read_json) -> dict[str, Any]:
    if isinstance(value, str):  # a file, read once so that the recipe holds its content
        value = read(value)
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
    "ranges": lambda value: tuple(sorted((k, _range(v)) for k, v in _pairs(value, read_ranges).items())),
    "renames": lambda value: tuple(sorted((k, _string(v)) for k, v in _pairs(value).items())),
}
_WORDS: dict[Kind, str] = {
    "number": "a number",
    "integer": "a whole number",
    "flag": "true or false",
    "choice": "text",
    "text": "text",
    "names": "a list of names",
    "amounts": "a map of names to numbers",
    "ranges": "a map of names to [min, max], or a file of ranges (JSON, or a log)",
    "renames": "a map of names to names",
}


def _brief(value: Any) -> str:
    if isinstance(value, tuple):
        first = value[0] if value else ""
        one = f"{first[0]}: {_brief(first[1])}" if isinstance(first, tuple) else str(first)
        return f"[{one}]" if len(value) < 2 else f"[{one}, +{len(value) - 1}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


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


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``name(key=value, ...)``; bare words are text, maps are ``{'layer': 0.5}``. Raises PassError."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if isinstance(tree, ast.Name):
        return tree.id, {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.args:
        raise PassError(f"{text!r} is not a pass", hint="write name(parameter=value), for example prune(sparsity=0.8)")
    values: dict[str, Any] = {}
    for keyword in tree.keywords:
        value = keyword.value
        if isinstance(value, ast.Name):  # a bare word; a flag's true and false are read by its coercion
            values[str(keyword.arg)] = value.id
            continue
        try:
            values[str(keyword.arg)] = ast.literal_eval(value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            words = f"{keyword.arg}={ast.unparse(value)} is not a value"
            raise PassError(words, where=tree.func.id, hint="put text in quotes") from None
    return tree.func.id, values
