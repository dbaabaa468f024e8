"""``compressor-cli passes``: the transforms and their parameters, from their own declarations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from compressor_gui.cli.console import Console, table, with_console
from compressor_gui.core import passes as core_passes
from compressor_gui.core.passes import Param, Pass

_EXAMPLES = {
    "flag": "true",
    "names": "'a,b'",
    "ranges": "{'node': [0, 6]}",
    "renames": "{'old': 'new'}",
    "text": "'text'",
}


@click.command(short_help="The passes and their parameters.")
@click.argument("name", required=False)
@with_console
def passes(console: Console, name: str | None) -> None:
    """List the passes, or show NAME's parameters, as they are written in compress --pass 'NAME(parameter=value)'.

    \b
    Example:
      compressor-cli passes quantize_weights
    """
    if name is not None and name not in core_passes.BY_NAME:
        raise core_passes.no_such_pass(name)
    found = [core_passes.BY_NAME[name]] if name else list(core_passes.ALL)
    console.result({"passes": [_described(kind) for kind in found]}, lambda: _one(found[0]) if name else _list(found))


def _described(kind: type[Pass]) -> dict[str, Any]:
    return {
        "name": kind.name,
        "title": kind.title,
        "summary": kind.summary,
        "parameters": [
            {
                "name": key,
                "kind": spec.kind,
                "label": spec.label,
                "help": spec.help,
                "default": kind.default(key),
                "minimum": spec.minimum,
                "maximum": spec.maximum,
                "unit": spec.unit,
                "choices": list(spec.choices),
                "required": spec.required,
            }
            for key, spec in kind.params().items()
        ],
    }


def _list(found: list[type[Pass]]) -> Iterator[str]:
    yield from table(("pass", "what it does"), [(kind.name, kind.summary) for kind in found])


def _one(kind: type[Pass]) -> Iterator[str]:
    yield f"{kind.name}: {kind.summary}"
    specs = kind.params()
    if specs:
        yield ""
        rows = [
            (key, _values(spec), "required" if spec.required else _default(kind.default(key)), spec.help)
            for key, spec in specs.items()
        ]
        yield from table(("parameter", "values", "default", "meaning"), rows)
    yield ""
    yield f"example: --pass {chr(34)}{kind.name}{_example(kind)}{chr(34)}"


def _values(spec: Param) -> str:
    if spec.choices:
        return " | ".join(spec.choices)
    low, high = spec.minimum, spec.maximum
    bounds = f"{low:g}..{high:g}" if low is not None and high is not None else ""
    bounds = bounds or (f">= {low:g}" if low is not None else f"<= {high:g}" if high is not None else "")
    return " ".join(filter(None, (spec.kind, bounds, spec.unit)))


def _default(value: Any) -> str:
    if value is None or value == () or value == "":
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _example(kind: type[Pass]) -> str:
    for key, spec in kind.params().items():
        if spec.kind in ("number", "integer"):
            low, high = spec.minimum, spec.maximum
            value = kind.default(key)
            if value is None:
                value = 0.8 if low == 0 and high == 1 else low
            if value is not None:
                return f"({key}={value:g})"
        if spec.choices:
            return f"({key}={spec.choices[-1]})"
        if spec.kind == "amounts":
            return f"({key}={{'layer': {max(0.5, spec.minimum or 0):g}}})"
        if spec.kind in _EXAMPLES:
            return f"({key}={_EXAMPLES[spec.kind]})"
    return ""
