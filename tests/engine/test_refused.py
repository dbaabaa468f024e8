"""Every job that runs a graph refuses one that may do more than compute, before it runs any of it."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.choose import ChooseRegions
from compressor_gui.core.data import DataSpec
from compressor_gui.core.distilling import Distill
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import Node
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes import make
from compressor_gui.core.pbio import to_bytes, write_graph
from compressor_gui.core.protocol import Request
from compressor_gui.core.recipe import Recipe, digest
from compressor_gui.core.serve import Job
from compressor_gui.core.training import Goal
from compressor_gui.core.values import DType
from compressor_gui.engine.__main__ import HANDLERS
from compressor_gui.engine.models import SentModel, read_model
from tests.support import const, conv, graph, node, placeholder

MODEL_JOBS = [kind for kind in HANDLERS if ModelRef in typing.get_type_hints(kind).values()]


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", MODEL_JOBS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("op", ["WriteFile", "PyFunc", "MyOwnKernel"])
def test_it_is_refused(kind: type[Request], op: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    name, text = (const(n, np.array(v, object), DType.STRING) for n, v in (("n", str(victim).encode()), ("t", b"!")))
    unsafe = Node.make("unsafe", op, ("n", "t") if op == "WriteFile" else ())
    result = Node.make("y", "Identity", ("x", "^unsafe"), T=DType.FLOAT)
    write_graph(graph(placeholder("x", (-1, 8, 8, 3)), name, text, unsafe, result), tmp_path / "model.pb")
    with pytest.raises(CompressorError, match=rf"the op {op} \(node 'unsafe'\) may do more than compute"):
        ask(kind, tmp_path, ModelRef(str(tmp_path / "model.pb")))
    assert not victim.exists()


def ask(kind: type[Request], tmp_path: Path, model: ModelRef) -> None:
    """Do a job on a model of 8x8 pictures."""
    np.save(tmp_path / "data.npy", np.zeros((2, 8, 8, 3), np.float32))
    if kind is ChooseRegions:
        before = Recipe.from_json(model.recipe) if model.recipe else Recipe()
        fused = before.adding(make("fuse_int8", {"ranges": {"x": (0, 1)}}))
        model = dataclasses.replace(model, recipe=fused.to_json())
    known: dict[str, object] = {
        **dict.fromkeys(("model", "teacher", "original", "compressed"), model),
        "student": "shallow",
        "goal": Goal(ratio=2.0),
        "share": 0.5,
        "min_sqnr_db": 25.0,
        "output_graph": str(tmp_path / "out.pb"),
        "output_labels": str(tmp_path / "out.txt"),
        "data": DataSpec("numpy", str(tmp_path / "data.npy"), height=8, width=8),
        "target": str(tmp_path / "out.pb"),
        "batch": 1,
        "cache": str(tmp_path / "cache"),
    }
    if kind is Distill:
        known["output"] = str(tmp_path / "out.pb")
    given = {field.name: known[field.name] for field in dataclasses.fields(kind) if field.name in known}
    HANDLERS[kind](kind(**given), Job(1, lambda number, event: None))


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", MODEL_JOBS, ids=lambda kind: kind.name)
def test_what_a_recipe_makes_is_refused(kind: type[Request], tmp_path: Path) -> None:
    """A recipe can make any op of a harmless one."""
    victim = tmp_path / "victim"
    name, text = (const(n, np.array(v, object), DType.STRING) for n, v in (("n", str(victim).encode()), ("t", b"!")))
    harmless = Node.make("split", "StringSplit", ("n", "t"))
    layer = (const("w", np.ones((3, 3, 3, 4), np.float32)), conv("conv", "x", "w"), node("relu", "Relu", "conv"))
    result = Node.make("y", "Identity", ("relu", "^split"), T=DType.FLOAT)
    write_graph(graph(placeholder("x", (-1, 8, 8, 3)), name, text, harmless, *layer, result), tmp_path / "model.pb")
    recipe = Recipe.of(make("rename_op", {"old_op_name": "StringSplit", "new_op_name": "WriteFile"})).to_json()
    with pytest.raises(CompressorError, match=r"the op WriteFile \(node 'split'\) may do more than compute"):
        ask(kind, tmp_path, ModelRef(str(tmp_path / "model.pb"), recipe))
    assert not victim.exists()


def test_a_model_that_was_sent_is_refused_too(tmp_path: Path) -> None:
    unsafe = graph(placeholder("x", (-1,)), Node.make("y", "PyFunc", ("x",)))
    sent = SentModel(ModelRef("model.pb"), to_bytes(unsafe), unsafe.outputs)
    with pytest.raises(CompressorError, match=r"the op PyFunc \(node 'y'\) may do more than compute"):
        sent.load()


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", MODEL_JOBS, ids=lambda kind: kind.name)
def test_a_file_that_has_changed_is_refused(kind: type[Request], tmp_path: Path) -> None:
    path = tmp_path / "model.pb"
    write_graph(graph(placeholder("x", (-1, 8, 8, 3)), node("y", "Relu", "x")), path)
    known = ModelRef(str(path), sha256=digest(path.read_bytes()))
    assert len(read_model(known)) == 2
    write_graph(graph(placeholder("x", (-1, 8, 8, 3)), node("y", "Relu6", "x")), path)
    with pytest.raises(CompressorError, match=r"has changed since it was opened \(open it again\)"):
        ask(kind, tmp_path, known)


def test_all_jobs_on_models_are_tried() -> None:
    known = {"latency", "evaluate", "calibrate", "sensitivity", "export_model", "prune_retrain", "distill", "transfer"}
    assert {kind.name for kind in MODEL_JOBS} >= known
