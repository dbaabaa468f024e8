"""TensorFlow ends the engine's process; the client lives on."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressor_gui.core import wire
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.jobs import CheckExport, EngineClient
from compressor_gui.core.measure import Latency, ModelRef
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.protocol import Progress
from compressor_gui.core.values import DType
from compressor_gui.core.worker import WorkerDied
from tests.support import conv_net, placeholder

pytestmark = pytest.mark.tensorflow


def endless() -> ModelGraph:
    """A graph whose function calls itself for ever, which is more than TensorFlow's stack."""

    def argument(name: str) -> bytes:
        return wire.put_bytes(1, name.encode()) + wire.put_int(3, int(DType.FLOAT))

    signature = wire.put_bytes(1, b"f") + wire.put_bytes(2, argument("a")) + wire.put_bytes(3, argument("b"))
    call = wire.put_bytes(1, b"again") + wire.put_bytes(2, b"f") + wire.put_bytes(3, b"a")
    returned = wire.put_bytes(1, b"b") + wire.put_bytes(2, b"again:b:0")
    function = wire.put_bytes(1, signature) + wire.put_bytes(3, call) + wire.put_bytes(4, returned)
    library = wire.put_bytes(2, wire.put_bytes(1, function))
    return ModelGraph([placeholder("x", (1,)), Node.make("y", "f", ("x",))], library)


def test_a_graph_that_ends_tensorflow_is_blamed_last(tmp_path: Path) -> None:
    path, good = str(tmp_path / "endless.pb"), str(tmp_path / "good.pb")
    write_graph(endless(), path)
    write_graph(conv_net(), good)
    seen: list[Progress] = []
    with EngineClient() as engine:
        with pytest.raises(WorkerDied, match=r"TensorFlow itself crashes on this graph, .* SIGSEGV"):
            engine.run(CheckExport(path, path, ("y",)), seen.append)
        assert [event.message for event in seen].count("the engine's process was ended by SIGSEGV; trying again") == 2
        found = engine.run(CheckExport(good, good, ("softmax",)))
    assert found.outputs[0].equal
    assert found.left_out == ""


def test_tensorflow_above_its_memory_is_ended_with_a_sentence(tmp_path: Path) -> None:
    write_graph(conv_net(), tmp_path / "model.pb")
    with EngineClient(memory_bytes=200_000_000) as engine:  # less than TensorFlow itself takes
        with pytest.raises(CompressorError, match="more memory than the 200 MB that it may have"):
            engine.run(Latency(ModelRef(str(tmp_path / "model.pb")), runs=1))
        engine.memory_bytes = 4_000_000_000
        assert engine.run(Latency(ModelRef(str(tmp_path / "model.pb")), runs=1)).runs == 1
