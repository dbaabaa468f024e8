"""How much memory a process and those that it started have, and how much they may have.

Limits of the operating system do not serve: TensorFlow reserves far more address space than it uses, and ends with an
abort where a reservation fails. So what is resident is looked at, several times a second.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

from compressor_gui.core.errors import CompressorError

_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECONDS = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def parse_bytes(text: str, where: str = "") -> int:
    """A size as people write it (``4 GB``, ``500M``, ``0``) in bytes. Raises CompressorError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not found:
        raise CompressorError(
            f"{text!r} is no size of memory", where=where, hint="write it as 4GB or 500MB; 0: no limit"
        )
    return int(float(found[1]) * _UNITS[found[2].upper()])


def resident_bytes(pid: int) -> int:
    """The resident memory of a process and all that it started; 0 where the system does not say (it is Linux's
    ``/proc`` that does) or the process has ended."""
    root = Path("/proc", str(pid))
    total = 0
    with contextlib.suppress(OSError, IndexError):  # it ended while it was looked at
        total += int((root / "statm").read_text().split()[1]) * _PAGE
        for thread in (root / "task").iterdir():
            with contextlib.suppress(OSError):
                total += sum(resident_bytes(int(child)) for child in (thread / "children").read_text().split())
    return total


class MemoryWatch:
    """Looks after a process's memory in a thread, and calls ``stop`` once it has more than ``limit`` bytes."""

    def __init__(self, pid: int, limit: int, stop: Callable[[], None]) -> None:
        self.limit = limit
        self.exceeded = False
        self._pid, self._stop = pid, stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(_SECONDS):
            if resident_bytes(self._pid) > self.limit:
                self.exceeded = True
                self._stop()
                return

    def close(self) -> None:
        """End the thread; not to be called from ``stop``."""
        self._ended.set()
        self._thread.join()
