"""What is left out of TensorFlow when it crashes on a graph, one part after the other, before the graph is blamed.

Both parts rewrite graphs into fused kernels: TensorFlow 2.21 ends with a segmentation fault on graphs that run without
them. They are switched off in the environment of a new process, so that what that process starts in turn has it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, TypeVar

from compressor_gui.core.machine import ONEDNN
from compressor_gui.core.protocol import Request

REMAPPER = "COMPRESSOR_REMAPPER"
"""The engine's own switch; :mod:`compressor_gui.engine.session` reads it."""
CPU_DEVICES = "COMPRESSOR_CPU_DEVICES"
"""Into how many devices the engine cuts the processor, which TensorFlow has to be told before it starts."""

_LADDER = (REMAPPER, ONEDNN)

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Cautious(Request[R]):
    """A request that runs a graph. ``caution`` is how many parts of TensorFlow are left out: 1 is Grappler's remapper,
    2 oneDNN too."""

    caution: int = 0

    def after_crash(self) -> Self | None:
        """The same with one part less, None when both were out already."""
        return replace(self, caution=self.caution + 1) if self.caution < len(_LADDER) else None

    def given_up(self, reason: str) -> str:
        """The sentence on a graph that nothing helped with."""
        return f"TensorFlow itself crashes on this graph, without Grappler's remapper and oneDNN too: {reason}"

    def environment(self) -> dict[str, str]:
        """The switches of what is left out."""
        return dict.fromkeys(_LADDER[: self.caution], "0")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """An answer to a :class:`Cautious` request: what was left out because TensorFlow had crashed with it."""

    remapper_off: bool = False
    onednn_off: bool = False

    def after(self, caution: int) -> Self:
        """The answer, saying what a request of this caution left out."""
        return replace(self, remapper_off=caution > 0, onednn_off=caution > 1)

    @property
    def left_out(self) -> str:
        """A sentence for the user; empty where TensorFlow ran as it comes."""
        if not self.remapper_off:
            return ""
        parts = "Grappler's remapper" + (" and without oneDNN" if self.onednn_off else "")
        return f"TensorFlow crashed with its default rewrites; it ran without {parts}"
