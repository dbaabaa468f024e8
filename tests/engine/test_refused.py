"""Every job that runs a graph refuses one that may do more than compute, before it runs any of it."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import Node
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.protocol import Request
from compressor_gui.core.serve import Job
from compressor_gui.core.values import DType
from compressor_gui.engine.__main__ import HANDLERS
from tests.support import const, graph, placeholder

MODEL_JOBS = [kind for kind in HANDLERS if "model" in {field.name for field in dataclasses.fields(kind)}]


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", MODEL_JOBS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("op", ["WriteFile", "PyFunc", "MyOwnKernel"])
def test_it_is_refused(kind: type[Request], op: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    name, text = (const(n, np.array(v, object), DType.STRING) for n, v in (("n", str(victim).encode()), ("t", b"!")))
    unsafe = Node.make("unsafe", op, ("n", "t") if op == "WriteFile" else ())
    result = Node.make("y", "Identity", ("x", "^unsafe"), T=DType.FLOAT)
    write_graph(graph(placeholder("x", (-1, 8, 8, 3)), name, text, unsafe, result), tmp_path / "model.pb")
    np.save(tmp_path / "data.npy", np.zeros((2, 8, 8, 3), np.float32))
    known: dict[str, object] = {
        "model": ModelRef(str(tmp_path / "model.pb")),
        "data": DataSpec("numpy", str(tmp_path / "data.npy"), height=8, width=8),
        "target": str(tmp_path / "out.pb"),
        "batch": 1,
        "cache": str(tmp_path / "cache"),
    }
    given = {field.name: known[field.name] for field in dataclasses.fields(kind) if field.name in known}
    with pytest.raises(CompressorError, match=rf"the op {op} \(node 'unsafe'\) may do more than compute"):
        HANDLERS[kind](kind(**given), Job(1, lambda number, event: None))
    assert not victim.exists()


def test_all_jobs_on_models_are_tried() -> None:
    assert {kind.name for kind in MODEL_JOBS} >= {"latency", "evaluate", "calibrate", "sensitivity", "export_model"}
    for kind in MODEL_JOBS:
        assert typing.get_type_hints(kind)["model"] is ModelRef
