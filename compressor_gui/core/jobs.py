"""What the engine can be asked and what it answers, and the client that asks it.

The engine is the process that has TensorFlow. It gets paths, never tensors. :mod:`.protocol` has the lines, and
:mod:`.worker` the client of any worker process.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core import units
from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.machine import ONEDNN
from compressor_gui.core.memory import parse_bytes
from compressor_gui.core.protocol import Cancelled, Died, Done, Event, Failed, Progress, Request
from compressor_gui.core.units import EXACT_DB
from compressor_gui.core.worker import JobCancelled, Listener, Worker, WorkerDied

__all__ = [
    "CHECK_EXAMPLES",
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

CHECK_INPUTS = 4
"""How many made-up inputs, each of batch 1, a check runs both graphs on."""

CHECK_EXAMPLES = 16
"""How many examples of the data, where there are some."""

_FAR_DB = 10.0
"""Below it an output is too far from the original's to be used without another thought."""

_FAR_SHARE = 0.1
"""The share of inputs that may get another class before that deserves another thought, but one at least."""

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
        """Whether it is so unlike the original's, over many examples, that the user should know before using it."""
        agreement = 1.0 if self.argmax_agreement is None else self.argmax_agreement
        return self.sqnr_db < _FAR_DB or agreement < 1 - _FAR_SHARE


@dataclass(frozen=True)
class ExportCheck(Ran):
    """The compressed graph loads; its ``outputs`` are empty where no input could be made that the original runs on.

    ``inputs``: what was fed, as ``name float32 1×224×224×3``. ``notes``: sentences for the user. ``examples``: how many
    of the data were fed, 0 where the inputs were made up; ``labelled``: whether these have classes.
    """

    outputs: tuple[OutputCheck, ...]
    inputs: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    examples: int = 0
    labelled: bool = False

    @property
    def passed(self) -> bool:
        """Whether every output has its shape and is finite."""
        return all(output.finite for output in self.outputs)

    @property
    def fed(self) -> str:
        """How many inputs of which kind, as ``16 examples``."""
        return units.counted(self.examples, "example") if self.examples else f"{CHECK_INPUTS} made-up inputs"

    def same_class(self, output: OutputCheck) -> str:
        """How often an output has its largest value at the same place; empty where there is no choice.

        A share of so few inputs is no accuracy, so that it is said as a count; an output with a choice at many places
        (of each pixel) has a share.
        """
        agreement, tried = output.argmax_agreement, self.examples or CHECK_INPUTS
        if agreement is None:
            return ""
        return f"{round(agreement * tried)} of {tried}" if _one_choice(output) else units.percent(agreement)

    def far(self, output: OutputCheck) -> bool:
        """Whether an output is so unlike the original's that the user should know before using it.

        Of examples with classes the class alone counts, as a retrained network may be as good and answer other numbers.
        """
        agreement, tried = output.argmax_agreement, self.examples or CHECK_INPUTS
        if agreement is not None:
            allowed = max(1, _FAR_SHARE * tried) if _one_choice(output) else _FAR_SHARE * tried
            if round((1 - agreement) * tried, 6) > allowed:  # counted, for 1 - 2/3 is more than 1/3
                return True
            if self.labelled and _one_choice(output):
                return False
        return output.sqnr_db < _FAR_DB

    def warning(self, remedy: str) -> str:
        """A sentence for the user, without a full stop, where an output is far from the original's; empty otherwise.

        ``remedy`` is what may help: :func:`.advice.advice`.
        """
        far = [output for output in self.outputs if self.far(output)]
        if not far:
            return ""
        worst = min(far, key=lambda output: output.sqnr_db)
        same = self.same_class(worst)
        found = f"{worst.name}: {units.decibel(worst.sqnr_db)}{f', same top class in {same}' if same else ''}"
        return f"the outputs for {self.fed} are far from the original's ({found}): {remedy}"


def _one_choice(output: OutputCheck) -> bool:
    """Whether an output has one largest value for each input."""
    return math.prod(output.shape[:-1]) <= 1


@dataclass(frozen=True)
class CheckExport(Cautious[ExportCheck]):
    """Run two graph files on the same inputs in stock TensorFlow and compare their outputs.

    The inputs are the first examples of ``data``; without it, or where these can't be read, they are made up.

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
    data: DataSpec | None = None


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
