"""What a latency depends on beside the network: the processor, and what else it has to do."""

from __future__ import annotations

import os
import platform
from pathlib import Path

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""The variable that turns TensorFlow's oneDNN kernels on or off."""


def processor() -> str:
    """The processor's name, as the system gives it; empty where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def load() -> float | None:
    """How many processes wanted to run in the last minute, on average; None where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def has_vnni() -> bool | None:
    """Whether the processor multiplies 8-bit numbers at full speed (AVX-512 VNNI or AVX-VNNI); None where the system
    does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return None
    return bool({"avx512_vnni", "avx_vnni"}.intersection(text.split()))


def onednn_is_default() -> bool:
    """Whether TensorFlow uses oneDNN here by itself: with VNNI, and where that is not known."""
    return has_vnni() is not False


def onednn_is_on() -> bool:
    """Whether TensorFlow uses oneDNN here: where the variable says so, or else by itself with VNNI."""
    said = os.environ.get(ONEDNN)
    return onednn_is_default() if said is None else said.lower() in ("1", "true")


def onednn_is_asked_for() -> bool:
    """Whether TensorFlow uses oneDNN here only because the variable says so."""
    return onednn_is_on() and not onednn_is_default()
