"""Histograms of activations in a file, so that ranges chosen from them can be looked at again another day."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.measure import RangeHistogram

KEPT = 4096
"""How many histograms a file has at most: 2,048 bins each."""

_ENDS = ("low", "high", "mean_low", "mean_high")


def write_histograms(path: Path, histograms: Mapping[str, RangeHistogram]) -> None:
    """Write node -> histogram as ``.npz``; makes the folder. Raises CompressorError or OSError where it can't."""
    some = list(histograms.items())[-KEPT:]
    counts = [np.asarray(histogram.counts, np.int64) for _, histogram in some]
    arrays = {
        "names": np.array([name for name, _ in some], dtype=np.str_),
        "ends": np.array([[getattr(one, end) for end in _ENDS] for _, one in some], np.float64).reshape(-1, len(_ENDS)),
        "bins": np.array([len(one) for one in counts], np.int64),
        "counts": np.concatenate([np.zeros(0, np.int64), *counts]),
    }
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    pbio.move_over(pbio.bytes_beside([data.getvalue()], path), path)


def read_histograms(path: Path) -> dict[str, RangeHistogram]:
    """What :func:`write_histograms` wrote; empty where there is no such file, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names, ends, bins, counts = (stored[key] for key in ("names", "ends", "bins", "counts"))
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    parts = np.split(counts, np.cumsum(bins)[:-1]) if len(bins) else []
    return {
        str(name): RangeHistogram(float(low), float(high), tuple(part.tolist()), float(mean_low), float(mean_high))
        for name, (low, high, mean_low, mean_high), part in zip(names, ends, parts, strict=True)
    }
