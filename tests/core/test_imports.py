"""The core runs without Qt and without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

PROBE = """
import importlib, pkgutil, sys
import compressor_gui.core as core
names = [found.name for found in pkgutil.walk_packages(core.__path__, "compressor_gui.core.")]
for name in names:
    importlib.import_module(name)
heavy = {name.partition(".")[0] for name in sys.modules} & {"PySide6", "shiboken6", "pyqtgraph", "tensorflow", "keras"}
print(len(names), sorted(heavy))
"""


def test_importing_the_core_loads_neither_qt_nor_tensorflow() -> None:
    run = subprocess.run([sys.executable, "-W", "error", "-c", PROBE], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    count, _, heavy = run.stdout.strip().partition(" ")
    assert int(count) > 10
    assert heavy == "[]"


def test_reading_a_graph_loads_no_protobuf() -> None:
    probe = "import sys, compressor_gui.core.recipe; print([n for n in sys.modules if n.startswith('google.protobuf')])"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
