"""The types of a node's outputs, as TensorFlow's op registry has them (``resources/op_outputs.txt``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from compressor_gui.core.graph import Node
from compressor_gui.core.values import DType


def output_types(node: Node) -> tuple[DType, ...] | None:
    """One type for each output; None where the operation, or an attribute that says it, is not known."""
    found: list[DType] = []
    words = _registry().get(node.op)
    for word in words or ():
        times, star, what = word.rpartition("*")
        attr, _, default = what.partition("=")
        value = DType[attr[1:]] if attr.startswith(":") else node.attrs.get(attr, DType[default] if default else None)
        types = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(one, DType) for one in types):
            return None
        found += types * (int(node.number(times)) if star else 1)
    return None if words is None else tuple(found)


@cache
def _registry() -> Mapping[str, tuple[str, ...]]:
    """Operation -> what the file says of each output."""
    text = files("resources").joinpath("op_outputs.txt").read_text("utf-8")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {words[0]: tuple(words[1:]) for words in lines}
