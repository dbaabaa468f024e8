"""What the engine can be asked and what it answers, and the client that asks it.

The engine is the process that has TensorFlow. It gets paths, never tensors. :mod:`.protocol` has the lines, and
:mod:`.worker` the client of any worker process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core import units
from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.machine import ONEDNN
from compressor_gui.core.memory import parse_bytes
from compressor_gui.core.protocol import Cancelled, Died, Done, Event, Failed, Progress, Request
from compressor_gui.core.worker import JobCancelled, Listener, Worker, WorkerDied

__all__ = [
    "CHECK_INPUTS",
    "EXACT_DB",
    "Cancelled",
    "CheckExport",
    "Died",
    "Done",
    "EngineClient",
    "EngineInfo",
    "Event",
    "ExportCheck",
    "Failed",
    "Hello",
    "JobCancelled",
    "OutputCheck",
    "Progress",
    "WorkerDied",
]

EXACT_DB = 999.0
"""The SQNR of an output that is equal to the original's: JSON has no infinity. Its negative is the worst."""

CHECK_INPUTS = 4
"""How many made-up inputs, each of batch 1, a check runs both graphs on."""

_FAR_DB = 10.0
_FAR_AGREEMENT = 0.9
"""Below either of these an output is too far from the original's to be used without another thought."""

MEMORY = "COMPRESSOR_ENGINE_MEMORY"
"""The variable that says how much memory the engine may have."""


@dataclass(frozen=True)
class EngineInfo:
    """The engine's versions."""

    tensorflow: str
    python: str


@dataclass(frozen=True)
class Hello(Request[EngineInfo]):
    """Start TensorFlow, so that the next job need not wait for it."""

    name: ClassVar[str] = "hello"
    answer: ClassVar[type] = EngineInfo


@dataclass(frozen=True)
class OutputCheck:
    """One output of the compressed graph beside the original's, over all inputs that were tried.

    ``sqnr_db``: signal to quantization noise, 10 log10(sum x^2 / sum (x - y)^2) in dB, between -EXACT_DB (another
    shape, not finite) and EXACT_DB (equal). ``argmax_agreement``: share of positions whose largest value along the last
    axis is at the same place, None where there is no choice. ``finite``: no NaN or infinity that the original lacks.
    ``shape``: for one input.
    """

    name: str
    sqnr_db: float
    argmax_agreement: float | None
    finite: bool
    equal: bool
    shape: tuple[int, ...]

    @property
    def far(self) -> bool:
        """Whether it is so unlike the original's that the user should know before using it."""
        agreement = 1.0 if self.argmax_agreement is None else self.argmax_agreement
        return self.sqnr_db < _FAR_DB or agreement < _FAR_AGREEMENT


@dataclass(frozen=True)
class ExportCheck(Ran):
    """The compressed graph loads; its ``outputs`` are empty where no input could be made that the original runs on.

    ``inputs``: what was fed, as ``name float32 1×224×224×3``. ``notes``: sentences for the user.
    """

    outputs: tuple[OutputCheck, ...]
    inputs: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every output has its shape and is finite."""
        return all(output.finite for output in self.outputs)

    @property
    def warning(self) -> str:
        """A sentence for the user where an output is far from the original's; empty otherwise."""
        far = [output for output in self.outputs if output.far]
        if not far:
            return ""
        worst = min(far, key=lambda output: output.sqnr_db)
        agreement = worst.argmax_agreement
        share = "" if agreement is None else f", same top class in {units.percent(agreement)}"
        found = f"{worst.name}: {units.decibel(worst.sqnr_db)}{share}"
        return f"the outputs are far from the original's ({found}): retrain or prune less"


@dataclass(frozen=True)
class CheckExport(Cautious[ExportCheck]):
    """Run two graph files on the same synthetic inputs in stock TensorFlow and compare their outputs.

    ``outputs`` are names of nodes in the original, ``candidate_outputs`` their names in the candidate (empty: the
    same). Graphs with ops that are not on the list of harmless ones (:mod:`.trust`) are refused, unless
    ``allow_unsafe_ops``; so is an original whose SHA-256 is another than ``original_sha256`` (empty: any).
    """

    name: ClassVar[str] = "check_export"
    answer: ClassVar[type] = ExportCheck

    original: str
    candidate: str
    outputs: tuple[str, ...]
    candidate_outputs: tuple[str, ...] = ()
    seed: int = 0
    allow_unsafe_ops: bool = False
    original_sha256: str = ""


class EngineClient(Worker):
    """Asks the engine, ``python -m compressor_gui.engine``.

    ``memory_bytes`` is what it may have, 0 for no limit; unless given, it is what the variable
    ``COMPRESSOR_ENGINE_MEMORY`` says (``4GB``). Raises CompressorError where that is no size.

    TensorFlow runs with its oneDNN kernels, unless the user's environment turns them off: fused 8-bit operations have
    no others, and where TensorFlow leaves them off (without VNNI) convolutions train twice as fast with them.
    """

    def __init__(
        self, on_event: Listener | None = None, *, memory_bytes: int | None = None, background: bool = False
    ) -> None:
        if memory_bytes is None:
            memory_bytes = parse_bytes(os.environ.get(MEMORY, "0"), MEMORY)
        super().__init__("compressor_gui.engine", on_event, memory_bytes=memory_bytes, background=background,
                         environment={ONEDNN: os.environ.get(ONEDNN, "1")})  # fmt: skip
