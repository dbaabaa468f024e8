"""The Graph Transform Tool's way of writing passes, ``--transforms='name(argument=value, ...) name'``, read into ours.

Syntax: names with spaces or line ends between them; arguments with commas between them; values bare, or in quotes where
they hold blanks, commas or brackets; an argument that is given several times is a list. Source:
``ParseTransformParameters`` in tensorflow/tools/graph_transforms/transform_graph.cc. What differs from the tool in what
the passes do stands in the help page ``transforms.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from compressor_gui.core.errors import PassError
from compressor_gui.core.passes import BY_NAME, Pass, make, no_such_pass

_SPACE = re.compile(r"(\s|\\\n)*")
_NAME = re.compile(r"\w+")
_VALUE = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s,()"']+))\s*""", re.DOTALL)
_HINT = "write name(argument=value, argument=value) name"

Arguments = Mapping[str, Sequence[str]]


class Transform(NamedTuple):
    """One call as it is written: each argument's values, in their order."""

    name: str
    arguments: Arguments


def parse_transforms(text: str) -> tuple[tuple[Pass, ...], tuple[str, ...]]:
    """The passes, and sentences on arguments that say nothing here. Raises PassError."""
    calls = split_transforms(text)
    if not calls:
        raise PassError("no transform is given", where="transforms", hint=_HINT)
    notes: list[str] = []
    return tuple(_pass(call, notes) for call in calls), tuple(notes)


def split_transforms(text: str) -> tuple[Transform, ...]:
    """The calls in ``text``. Raises PassError where it is not written as the tool's."""
    found: list[Transform] = []
    at = _skip(text, 0)
    while at < len(text):
        name, at = _name(text, at, "the name of a transform")
        arguments: dict[str, list[str]] = {}
        if text[at : at + 1] == "(":
            at = _skip(text, at + 1)
            while text[at : at + 1] != ")":
                if arguments:
                    at = _skip(text, _expect(text, at, ","))
                key, at = _name(text, at, f"an argument of {name}, or )")
                value = _VALUE.match(text, _expect(text, _skip(text, at), "="))
                if value is None:
                    raise _wrong(text, at + 1, f"a value of {key}")
                quoted = value[1] if value[1] is not None else value[2]
                given = value[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
                arguments.setdefault(key, []).append(given)
                at = value.end()
            at += 1
        found.append(Transform(name, arguments))
        at = _skip(text, at)
    return tuple(found)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _name(text: str, at: int, what: str) -> tuple[str, int]:
    found = _NAME.match(text, at)
    if found is None:
        raise _wrong(text, at, what)
    return found[0], found.end()


def _expect(text: str, at: int, letter: str) -> int:
    if text[at : at + 1] != letter:
        raise _wrong(text, at, letter)
    return at + 1


def _wrong(text: str, at: int, wanted: str) -> PassError:
    rest = text[at : at + 20]
    words = (
        f"after {text[max(0, at - 20) : at]!r} {wanted} should stand, and there is {repr(rest) if rest else 'no more'}"
    )
    return PassError(words, where="transforms", hint=_HINT)


def _pass(call: Transform, notes: list[str]) -> Pass:
    """Our pass for a call. Raises PassError."""
    if call.name in _OTHERS:
        raise PassError(f"there is no {call.name}", where="transforms", hint=_OTHERS[call.name])
    if call.name not in BY_NAME:
        raise no_such_pass(call.name, "transforms")
    arguments = dict(call.arguments)
    if arguments.pop("ignore_errors", None):
        notes.append(f"{call.name}: ignore_errors says nothing here; what a pass can't do it leaves alone.")
    if call.name in _TRANSLATE:
        arguments = dict(_TRANSLATE[call.name](arguments, notes))
    kinds = {key: spec.kind for key, spec in BY_NAME[call.name].params().items()}
    values: dict[str, Any] = {}
    for key, given in arguments.items():
        if kinds.get(key) != "names" and len(given) > 1:
            raise PassError(f"{key} is given {len(given)} times", where=call.name, hint="leave one")
        values[key] = tuple(given) if kinds.get(key) == "names" and len(given) > 1 else given[0]
    return make(call.name, values, files=True)


def _renamed(**names: str) -> Callable[[Arguments, list[str]], Arguments]:
    """The tool's names of arguments -> ours."""
    return lambda given, _: {names.get(key, key): value for key, value in given.items()}


def _strip_unused_nodes(given: Arguments, notes: list[str]) -> Arguments:
    passed = {"type", "shape", "type_for_name", "shape_for_name"} & given.keys()
    if passed:
        notes.append(
            f"strip_unused_nodes: {', '.join(sorted(passed))} says nothing here; the graph tells types and shapes."
        )
    return {"inputs" if key == "name" else key: value for key, value in given.items() if key not in passed}


def _quantize_nodes(given: Arguments, _: list[str]) -> Arguments:
    if "ignore_op" in given:
        hint = "skip names nodes, scopes and layers that stay in float"
        raise PassError("there is no parameter 'ignore_op'", where="quantize_nodes", hint=hint)
    fed = {"input_min", "input_max"} & given.keys()
    return {**given, "quantized_input": ["true"]} if fed else given


def _freeze_requantization_ranges(given: Arguments, _: list[str]) -> Arguments:
    for key in ("min_percentile", "max_percentile"):
        if key in given and list(given[key]) not in (["5"], ["5.0"]):
            hint = "5 % of a log's runs are left out; other percentiles come with calibrate"
            raise PassError(f"{key}={given[key][0]} is not 5", where="freeze_requantization_ranges", hint=hint)
    kept = {key: value for key, value in given.items() if not key.endswith("_percentile")}
    return {"ranges" if key == "min_max_log_file" else key: value for key, value in kept.items()}


_TRANSLATE: Mapping[str, Callable[[Arguments, list[str]], Arguments]] = {
    "remove_nodes": _renamed(op="ops"),
    "strip_unused_nodes": _strip_unused_nodes,
    "quantize_nodes": _quantize_nodes,
    "freeze_requantization_ranges": _freeze_requantization_ranges,
}
_OTHERS: Mapping[str, str] = {
    "add_default_attributes": "it is not needed: TensorFlow fills in what is left out",
    "fuse_convolutions": "fuse_pad works zero padding into convolutions",
    "fuse_pad_and_conv": "fuse_pad works zero padding into convolutions",
    "fuse_resize_and_conv": "a ResizeBilinear in front of a convolution stays",
    "fuse_resize_pad_and_conv": "fuse_pad works zero padding into convolutions",
    "obfuscate_names": "rename_outputs gives any nodes new names",
    "obsfucate_names": "rename_outputs gives any nodes new names",
}
"""Transforms of the tool that have no pass, and what to do instead."""
