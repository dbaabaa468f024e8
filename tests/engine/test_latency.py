from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core import machine
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.machine import ONEDNN, onednn_is_default
from compressor_gui.core.measure import Latency, LatencyResult, ModelRef, Timing
from compressor_gui.core.passes import make
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.protocol import Progress
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.values import DType
from compressor_gui.core.worker import JobCancelled
from tests.support import SHARED, Net, const, conv_net, graph, needs_shared

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineClient]:
    with EngineClient() as client:
        yield client


def file(folder: Path, model: ModelGraph, name: str = "model.pb") -> str:
    write_graph(model, folder / name)
    return str(folder / name)


def dense(batch: int) -> ModelGraph:
    return Net((batch, 16)).dense(4).then("Relu").build()


def processor_notes() -> tuple[str, ...]:
    """What is said of this machine, whatever the graph."""
    words = f"timed with oneDNN, which TensorFlow by itself leaves off on this processor ({ONEDNN}=0 times that)"
    return () if onednn_is_default() else (words,)


@pytest.mark.parametrize(
    ("variable", "by_itself", "said"), [("1", False, True), ("1", True, False), ("0", False, False)]
)
def test_onednn_is_said_where_tensorflow_by_itself_leaves_it_off(
    monkeypatch: pytest.MonkeyPatch, variable: str, by_itself: bool, said: bool
) -> None:
    from compressor_gui.engine import latency

    monkeypatch.setenv(ONEDNN, variable)
    monkeypatch.setattr(machine, "has_vnni", lambda: by_itself)
    assert ("oneDNN" in latency._onednn_note()) is said


def test_both_are_timed_and_their_nodes_named(engine: EngineClient, tmp_path: Path) -> None:
    path = file(tmp_path, conv_net())
    pruned = ModelRef(path, Recipe.of(make("prune", {"sparsity": 0.5})).to_json())
    seen: list[Progress] = []
    found = engine.run(Latency(pruned, ModelRef(path), runs=5, nodes=3), seen.append)
    assert found.against is not None
    assert found.speedup == pytest.approx(found.against.median_ms / found.model.median_ms)
    for timing in (found.model, found.against):
        assert 0 < timing.median_ms <= timing.p90_ms
        assert timing.throughput == pytest.approx(1000 / timing.median_ms)
        assert timing.peak_bytes > 100_000_000  # TensorFlow's own is in it
        assert len(timing.nodes) == 3
        times = [milliseconds for _, _, milliseconds in timing.nodes]
        assert times == sorted(times, reverse=True)
        assert {name for name, _, _ in timing.nodes} <= set(conv_net())
    assert (found.batch, found.runs, found.notes, found.left_out) == (1, 5, processor_notes(), "")
    assert seen[-1].total > 0


def test_an_unknown_batch_is_the_one_asked_for_and_a_fixed_one_stays(engine: EngineClient, tmp_path: Path) -> None:
    free, fixed = file(tmp_path, dense(-1), "free.pb"), file(tmp_path, dense(2), "fixed.pb")
    found = engine.run(Latency(ModelRef(free), ModelRef(fixed), batch=8, runs=2))
    assert found.batch == 8
    assert found.model.throughput == pytest.approx(8000 / found.model.median_ms)
    assert found.against is not None
    assert found.against.throughput == pytest.approx(2000 / found.against.median_ms)
    assert found.notes == ("fixed.pb has a fixed batch of 2; it was timed with that", *processor_notes())


def test_threads_are_those_of_a_process_of_their_own(engine: EngineClient, tmp_path: Path) -> None:
    model = ModelRef(file(tmp_path, dense(1)))
    assert engine.run(Latency(model, runs=1)).threads >= 1
    before = engine.pid
    assert engine.run(Latency(model, runs=1, threads=3)).threads == 3
    assert engine.pid != before
    variables = Path(f"/proc/{engine.pid}/environ").read_bytes().split(b"\0")
    assert {b"TF_NUM_INTRAOP_THREADS=3", b"TF_NUM_INTEROP_THREADS=3"} <= set(variables)


def test_what_does_not_run_is_a_sentence(engine: EngineClient, tmp_path: Path) -> None:
    shape = const("shape", (1, -1), DType.INT32)
    flat = Net((-1, 4, 4))
    flat.add(shape)
    flat.then("Reshape", "shape", Tshape=DType.INT32).then("MatMul", flat.weights("w", 16, 2), transpose_a=False,
                                                           transpose_b=False)  # fmt: skip
    with pytest.raises(CompressorError, match=r"model\.pb: TensorFlow does not run it with a batch of 3: "):
        engine.run(Latency(ModelRef(file(tmp_path, flat.build())), batch=3))


def test_a_graph_that_writes_files_is_not_run(engine: EngineClient, tmp_path: Path) -> None:
    target = tmp_path / "written"
    name, text = (const(n, np.array(v, object), DType.STRING) for n, v in (("n", str(target).encode()), ("t", b"!")))
    path = file(tmp_path, graph(name, text, Node.make("w", "WriteFile", ("n", "t")),
                                Node.make("y", "Identity", ("t", "^w"), T=DType.STRING)))  # fmt: skip
    with pytest.raises(CompressorError, match=r"the op WriteFile \(node 'w'\)"):
        engine.run(Latency(ModelRef(path)))
    assert not target.exists()
    engine.run(Latency(ModelRef(path, allow_unsafe_ops=True), runs=1))
    assert target.read_bytes() == b"!"


def test_it_is_cancelled(engine: EngineClient, tmp_path: Path) -> None:
    def stop(event: Progress) -> None:
        if event.message == "timing" and event.done > 2:
            for number in list(engine._jobs):
                engine.cancel(number)

    with pytest.raises(JobCancelled):
        engine.run(Latency(ModelRef(file(tmp_path, dense(1))), runs=1_000_000_000), stop)


@needs_shared
def test_a_real_model(engine: EngineClient) -> None:
    found: LatencyResult = engine.run(Latency(ModelRef(str(SHARED / "models" / "liveness.pb")), runs=2, batch=4))
    assert found.batch == 4
    kernels = {kernel for _, kernel, _ in found.model.nodes}
    assert any(kernel.endswith("FusedConv2D") for kernel in kernels)  # oneDNN's has a longer name


@pytest.mark.parametrize(("ms", "words"), [(7.0, "7 times as slow"), (0.5, "2 times as fast")])
def test_one_number_says_faster_or_slower(ms: float, words: str) -> None:
    from compressor_gui.cli.latency import _text

    times = [Timing(ms, ms, 1.0), Timing(1.0, 1.0, 1.0)]
    found = LatencyResult(1, 1, 1, times[0], times[1], 1.0 / ms)
    (line,) = [line for line in _text(found, ModelRef("a.pb"), ModelRef("b.pb")) if line.startswith("batch")]
    assert line == f"batch 1, 1 thread, 1 run, {words}"


def test_the_command(tmp_path: Path) -> None:
    model, other, chart = file(tmp_path, dense(1)), file(tmp_path, dense(1), "other.pb"), tmp_path / "chart.svg"
    arguments = ["latency", model, "--against", other, "--runs", "2", "-o", str(chart), "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    keys = {"median_ms", "p90_ms", "throughput", "batch", "threads", "against", "speedup", "nodes", "peak_bytes"}
    assert data.keys() >= keys
    assert data["against"]["median_ms"] > 0
    assert data["nodes"][0].keys() == {"name", "kernel", "ms"}
    assert ElementTree.parse(chart).getroot().tag.endswith("svg")
    for wrong in (["--batch", "0"], ["-o", "chart.gif"], ["--recipe", "missing.json"]):
        assert CliRunner().invoke(cli, ["latency", model, *wrong]).exit_code == 2
