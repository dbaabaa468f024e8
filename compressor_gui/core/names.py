"""Node names as people want to read them: without the scope that all share, and elided in the middle."""

from __future__ import annotations

from collections.abc import Iterable

_OP_SUFFIXES = ("/Conv2D", "/MatMul", "/depthwise", "/Conv2DBackpropInput", "/conv2d_transpose", "/BiasAdd")


def shared_scope(names: Iterable[str]) -> str:
    """The longest name scope (``a/b/``) that every name with a scope lies in; empty where there is none.

    Names without any scope, such as a model's inputs and ``Identity`` outputs, don't count.
    """
    scoped = [name.split("/")[:-1] for name in names if "/" in name]
    if not scoped:
        return ""
    low, high = min(scoped), max(scoped)
    depth = 0
    while depth < min(len(low), len(high)) and low[depth] == high[depth]:
        depth += 1
    return "".join(part + "/" for part in low[:depth])


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Full name -> the shortest readable one: the shared scope and the op's own suffix dropped where unique."""
    names = list(names)
    scope = shared_scope(names) if len(names) > 1 else ""
    plain = {name: name.removeprefix(scope) for name in names}
    trimmed = {name: _without_suffix(short) for name, short in plain.items()}
    count: dict[str, int] = {}
    for short in trimmed.values():
        count[short] = count.get(short, 0) + 1
    return {name: trimmed[name] if count[trimmed[name]] == 1 else plain[name] for name in names}


def _without_suffix(name: str) -> str:
    for suffix in _OP_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return name


def elide(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, the middle left out."""
    if len(text) <= width:
        return text
    keep = max(width - 1, 2)
    return f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
