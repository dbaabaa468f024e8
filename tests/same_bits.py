"""Two graphs that must compute the same to the bit, each run by TensorFlow in a process of its own.

In a process that trained or ran other graphs before, even one graph run twice was seen to differ by 1e-7, never in a
new one: kernels that threads have kept from earlier runs add in other orders, it seems.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.pbio import parse_graph, to_bytes
from tests.support import run_tf, synthetic_feeds

_ROOT = Path(__file__).parents[1]
_ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def assert_same_bits(before: ModelGraph, after: ModelGraph) -> None:
    """Run both on the same input and compare their outputs, place by place."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "feeds.npz"), **synthetic_feeds(before))
        for name, model in (("before", before), ("after", after)):
            Path(folder, name).write_bytes(to_bytes(model))
            Path(folder, f"{name}.outputs").write_text("\n".join(model.outputs))
            command = [sys.executable, "-m", "tests.same_bits", folder, name]
            ran = subprocess.run(command, cwd=_ROOT, env={**os.environ, **_ONE_THREAD}, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stderr[-2000:]
        expected, found = (np.load(Path(folder, f"{name}.npz")) for name in ("before", "after"))
        with expected, found:
            assert expected.files == found.files
            for place in expected.files:
                assert expected[place].dtype == found[place].dtype
                assert expected[place].tobytes() == found[place].tobytes(), before.outputs[int(place)]


def _run(folder: Path, name: str) -> None:
    outputs = Path(folder, f"{name}.outputs").read_text().splitlines()
    with np.load(folder / "feeds.npz") as feeds:
        values = run_tf(parse_graph(Path(folder, name).read_bytes(), outputs=outputs), dict(feeds))
    np.savez(Path(folder, f"{name}.npz"), **{str(at): values[output] for at, output in enumerate(outputs)})


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2])
