"""Node names as people want to read them: without the scope that all share, and elided in the middle."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

_GENERIC = frozenset(
    ("add", "add_1", "addv2", "batch_norm", "batchnorm", "biasadd", "conv", "conv2d", "conv2d_transpose",
     "conv2dbackpropinput", "convolution", "depthwise", "depthwiseconv2dnative", "fusedbatchnorm", "fusedbatchnormv3",
     "matmul", "mul", "mul_1", "relu", "relu6", "separable_conv2d", "tensordot")
)  # fmt: skip
"""Last parts of names that say which operation it is, not which layer."""


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
    """Full name -> the shortest readable one that no other has.

    Parts at the end that only say what kind of operation it is are dropped (``conv1/Relu/Conv2D`` is ``conv1``), then
    scopes at the start, as far as the rest tells the names apart.
    """
    names = list(names)
    trimmed = {name: _without_generic_parts(name.split("/")) for name in names}
    count = Counter(tuple(parts) for parts in trimmed.values())
    kept = {name: parts if count[tuple(parts)] == 1 else name.split("/") for name, parts in trimmed.items()}
    ends = Counter("/".join(parts[start:]) for parts in kept.values() for start in range(len(parts)))

    def shortest(parts: list[str]) -> str:
        found = ("/".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))
        return next((end for end in found if ends[end] == 1), "/".join(parts))

    return {name: shortest(parts) for name, parts in kept.items()}


def _without_generic_parts(parts: list[str]) -> list[str]:
    while len(parts) > 1 and parts[-1].lower() in _GENERIC:
        parts = parts[:-1]
    return parts


def shared_start(name: str, *neighbours: str) -> int:
    """How many characters of ``name`` its neighbours in a list begin with too, up to the last ``_`` or ``/``."""
    start = min((len(os.path.commonprefix((name, other))) for other in neighbours), default=0)  # noqa: RUF071 (of text)
    return max(name.rfind("_", 0, start), name.rfind("/", 0, start)) + 1


def elide(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, the middle left out."""
    if len(text) <= width:
        return text
    keep = max(width - 1, 2)
    return f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
