"""Heavy looks at a tensor, taken in the background once and remembered for as long as the tensor lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from compressor_gui.gui.background import Background, Superseded

T = TypeVar("T")


class Later:
    """Answers questions about tensors, told apart by identity.

    For every kind of question only the newest one is worked on: walking through layers quickly queues nothing up.
    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self._known: dict[tuple[int, str], tuple[weakref.ref, Any]] = {}
        self._wanted: dict[str, object] = {}

    def ask(self, owner: object, kind: str, work: Callable[[], T], show: Callable[[T], None]) -> None:
        """Hand ``work()`` to ``show``: at once where it is known, else when it is done, unless asked for another."""
        self._wanted[kind] = owner
        key = (id(owner), kind)
        found = self._known.get(key)
        if found is not None and found[0]() is owner:
            show(found[1])
            return

        def wanted_work() -> T:
            if self._wanted.get(kind) is not owner:
                raise Superseded
            known = self._known.get(key)  # asked twice before the first answer
            return known[1] if known is not None and known[0]() is owner else work()

        def done(value: T) -> None:
            self._known[key] = (weakref.ref(owner, lambda _: self._known.pop(key, None)), value)
            if self._wanted.get(kind) is owner:
                show(value)

        self._background.run(wanted_work, done, _raise)

    def forget(self, kind: str) -> None:
        """Nobody wants the answer to this kind of question any more."""
        self._wanted.pop(kind, None)


def _raise(error: Exception) -> None:
    raise error
