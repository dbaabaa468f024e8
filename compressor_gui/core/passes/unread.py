"""Clearing away constants that nobody reads any more, for the passes that fold them into something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import parse_ref


def remove_unread(edit: Edit, candidates: Iterable[str], reason: str) -> None:
    """Remove those ``candidates`` that nothing but a control input reads, and then what only they read.

    Candidates have to be computed from constants alone. To wait for a constant is to wait for nothing, so control
    inputs don't keep one, except where it has control inputs itself: then it stands for a branch or a loop.
    """
    data: Counter[str] = Counter()
    control: Counter[str] = Counter()
    for node in edit.nodes:
        for text, ref in zip(node.inputs, node.refs, strict=True):
            if ref.control:
                control[ref.name] += 1
            else:
                data[parse_ref(edit.resolve(text)).name] += 1
    waiting = list(candidates)
    while waiting:
        name = waiting.pop()
        if name not in edit or data[name] or edit.graph.is_output(name):
            continue
        node = edit[name]
        if control[name] and any(ref.control for ref in node.refs):
            continue
        edit.remove(name, reason)
        for ref in node.refs:
            if ref.control:
                control[ref.name] -= 1
            else:
                data[ref.name] -= 1
                waiting.append(ref.name)
