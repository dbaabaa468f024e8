from __future__ import annotations

import os
import queue
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core import pbio
from compressor_gui.core.compare import Noise
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient, WorkerDied
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.measure import LayerCurve, ModelRef, Sensitivity, SensitivityResult
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.protocol import Event, Piece, Progress
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.rounding import simulate
from compressor_gui.core.serve import Job, Stop
from compressor_gui.core.values import Tensor
from tests.engine.conftest import Cluster
from tests.support import Net

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"

pytestmark = pytest.mark.tensorflow

SPARSITIES, BITS = (0.0, 0.5, 0.9, 0.99), (8, 3)


def digits(count: int) -> DataSpec:
    """MNIST's first test digits, as the samples want them."""
    return DataSpec(
        "idx",
        str(SAMPLES / "t10k-1000-images-idx3-ubyte.gz"),
        str(SAMPLES / "t10k-1000-labels-idx1-ubyte.gz"),
        height=28,
        width=28,
        channels=1,
        limit=count,
    )


@dataclass
class Ask:
    """Sweeps in this process; what was told on the way is in ``events``."""

    cache: Path
    outputs: tuple[str, ...] = ()
    on_event: Callable[[Event], None] = lambda event: None
    events: list[Event] = field(default_factory=list)

    def __call__(self, model: Path, data: DataSpec, *, recipe: str = "", **options: Any) -> SensitivityResult:
        from compressor_gui.engine.sensitivity import sensitivity

        wanted: dict[str, Any] = {"sparsities": SPARSITIES, "bits": BITS, "refine": 0, "cache": str(self.cache)}
        request = Sensitivity(ModelRef(str(model), recipe, self.outputs), data, **(wanted | options))
        return sensitivity(request, Job(1, self._hear))

    def _hear(self, _: int, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    @property
    def pieces(self) -> list[LayerCurve]:
        return [event.part for event in self.events if isinstance(event, Piece)]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    return Ask(tmp_path / "cache")


@pytest.fixture
def net(tmp_path: Path) -> tuple[Path, ModelGraph, DataSpec]:
    """A network of four layers and two outputs with a shortcut, fed with 10 arrays; its file, graph and data."""
    grown = Net((-1, 8, 8, 3), seed=1).conv(6).bias().then("Relu")
    shortcut = grown.top
    grown.conv(6).bias().then("Relu").conv(6).then("AddV2", shortcut, name="sum").then("Relu6")
    side = grown.top
    model = grown.flatten().dense(5).build([side, "dense"])
    pbio.write_graph(model, tmp_path / "net.pb")
    np.save(tmp_path / "data.npy", np.random.default_rng(0).random((10, 8, 8, 3), np.float32))
    return tmp_path / "net.pb", model, guess(model, tmp_path / "data.npy")


# --- equal to the plain loop -----------------------------------------------------------------------------------------


def plain_points(layer: Layer) -> Iterator[tuple[bool, float, Callable[[ModelGraph], ModelGraph]]]:
    for sparsity in SPARSITIES:
        yield False, sparsity, lambda graph, s=sparsity: Prune(layers=((layer.name, s),)).run(graph).graph
    for bits in BITS:
        yield True, bits, lambda graph, b=bits: rounded(graph, layer, b)


def rounded(graph: ModelGraph, layer: Layer, bits: int) -> ModelGraph:
    tensor = Tensor(layer.tensor.dtype, simulate(layer.weights, layer.channel_axis, bits))
    changed = graph[layer.weight].with_(attrs={"value": tensor})
    return ModelGraph((changed if n.name == layer.weight else n for n in graph.nodes), graph.extras, graph.outputs)


def evaluated(graph: ModelGraph, data: DataSpec, path: Path) -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    """Export, load, run on every batch: outputs and labels."""
    from compressor_gui.engine.dataset import open_dataset
    from compressor_gui.engine.models import load_model

    pbio.write_graph(graph, path)
    with load_model(ModelRef(str(path), outputs=graph.outputs)) as model:
        fetches = [tensor for tensors in model.loaded.tensors(graph.outputs).values() for tensor in tensors]
        batches = list(open_dataset(data, graph, 4))
        outputs = [[v[: len(b)] for v in model.loaded.run(fetches, b.feeds)] for b in batches]
    return outputs, [batch.labels for batch in batches if batch.labels is not None]


def plain_loop(graph: ModelGraph, data: DataSpec, path: Path, metric: str) -> dict[tuple[str, bool, float], float]:
    reference, labels = evaluated(graph, data, path)
    found = {}
    for layer in find_layers(graph):
        for bits, at, change in plain_points(layer):
            outputs, _ = evaluated(change(graph), data, path)
            if metric == "top1":
                right = [row[0].argmax(axis=1) == label for row, label in zip(outputs, labels, strict=True)]
                found[layer.name, bits, at] = float(np.mean(np.concatenate(right)))
            else:
                noises = [Noise() for _ in reference[0]]
                for before, after in zip(reference, outputs, strict=True):
                    for noise, x, y in zip(noises, before, after, strict=True):
                        noise.add(x, y)
                found[layer.name, bits, at] = min(noise.db for noise in noises)
    return found


def points(result: SensitivityResult) -> dict[tuple[str, bool, float], float]:
    found = {}
    for layer in result.layers:
        found |= {(layer.name, False, s): v for s, v in zip(layer.sparsity, layer.value, strict=True)}
        found |= {(layer.name, True, b): v for b, v in zip(layer.bits, layer.bits_value, strict=True)}
    return found


def test_accuracy_is_that_of_the_plain_loop(ask: Ask, tmp_path: Path) -> None:
    path = SAMPLES / "lenet-5.pb"
    found = ask(path, digits(60))
    assert (found.metric, found.n) == ("top1", 60)
    assert points(found) == plain_loop(pbio.read_graph(path), digits(60), tmp_path / "m.pb", "top1")


@pytest.mark.parametrize("memory", [1_000_000_000, 10_000, 1])
def test_fidelity_is_that_of_the_plain_loop(
    ask: Ask, net: tuple[Path, ModelGraph, DataSpec], tmp_path: Path, memory: int
) -> None:
    path, graph, data = net
    ask.outputs = graph.outputs
    found = ask(path, data, batch=4, activation_bytes=memory)
    assert (found.metric, found.baseline, found.n) == ("sqnr_db", 999.0, 10)
    assert [layer.name for layer in found.layers] == ["conv", "conv_1", "conv_2", "dense"]
    assert points(found) == pytest.approx(plain_loop(graph, data, tmp_path / "m.pb", "sqnr_db"), abs=0.01)


def test_a_batch_that_the_graph_fixes_is_filled_up_but_not_counted(ask: Ask, tmp_path: Path) -> None:
    graph = Net((4, 8, 8, 3)).conv(4).then("Relu").flatten().dense(5).build()
    pbio.write_graph(graph, tmp_path / "net.pb")
    np.save(tmp_path / "data.npy", np.random.default_rng(0).random((6, 8, 8, 3), np.float32))
    data = guess(graph, tmp_path / "data.npy")
    found = ask(tmp_path / "net.pb", data)
    assert found.n == 6
    assert points(found) == pytest.approx(plain_loop(graph, data, tmp_path / "m.pb", "sqnr_db"), abs=0.01)


def test_a_recipe_is_replayed_first(ask: Ask, net: tuple[Path, ModelGraph, DataSpec]) -> None:
    path, _, data = net
    recipe = Recipe.of(Prune(layers=(("conv", 0.9),)))
    found = ask(path, data, recipe=recipe.to_json())
    first = found.layers[0]
    assert first.value[:3] == (999.0, 999.0, 999.0)  # its weights are zero already
    assert first.value[3] < 999


# --- pieces, cache, cancel -------------------------------------------------------------------------------------------


def test_curves_grow_layer_by_layer(ask: Ask, net: tuple[Path, ModelGraph, DataSpec]) -> None:
    found = ask(net[0], net[2], sparsities=tuple(np.linspace(0, 1, 11)), refine=2)
    names = [piece.name for piece in ask.pieces]
    assert sorted(names, key=[layer.name for layer in found.layers].index) == names
    sizes = [len(piece.sparsity) + len(piece.bits) for piece in ask.pieces if piece.name == "conv"]
    assert sizes == list(range(1, len(sizes) + 1))
    assert {0.0, 0.5, 0.9, 1.0} >= set(ask.pieces[3].sparsity)
    assert ask.pieces[len(sizes) - 1] == found.layers[0]
    progress = [event for event in ask.events if isinstance(event, Progress)]
    assert progress[-1].done <= progress[-1].total


def test_asking_again_is_free(
    ask: Ask, net: tuple[Path, ModelGraph, DataSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    from compressor_gui.engine import sensitivity

    first = ask(net[0], net[2], refine=2)

    def refuse(*_: object) -> None:
        pytest.fail("a session was opened")

    monkeypatch.setattr(sensitivity, "LoadedGraph", refuse)
    again = ask(net[0], net[2], refine=2)
    assert again.layers == first.layers
    assert again.reused == len(points(first))
    fewer = ask(net[0], net[2], sparsities=(0.0, 0.9), layers=("dense",))
    assert fewer.layers[0].sparsity == (0.0, 0.9)
    assert fewer.reused == 4


def test_another_session_takes_the_place_of_one_that_has_kept_too_much(
    ask: Ask, net: tuple[Path, ModelGraph, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compressor_gui.engine import sensitivity
    from compressor_gui.engine.session import LoadedGraph

    path, _, data = net
    expected = points(ask(path, data))
    renewed: list[LoadedGraph] = []
    real = LoadedGraph.renew
    monkeypatch.setattr(LoadedGraph, "renew", lambda loaded: (renewed.append(loaded), real(loaded)))
    monkeypatch.setattr(sensitivity, "_MOST_COPIES", 1)
    found = points(Ask(tmp_path / "other")(path, data))
    assert len(renewed) == len({layer for layer, _, _ in expected})
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_cancelled_sweep_goes_on_where_it_was(ask: Ask, net: tuple[Path, ModelGraph, DataSpec]) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Piece) and event.part.name == "conv_1":
            raise Stop

    ask.on_event = stop
    with pytest.raises(Stop):
        ask(net[0], net[2])
    done = len(ask.pieces)
    ask.on_event = lambda event: None
    again = ask(net[0], net[2])
    assert again.reused == done == 7
    assert points(again) == points(Ask(ask.cache / "other")(net[0], net[2]))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"metric": "top1"}, "no labels"),
        ({"metric": "nothing"}, "no metric 'nothing'"),
        ({"layers": ("nothing",)}, "no layer 'nothing'"),
        ({"scheduler": "nowhere"}, "this is no scheduler"),
        ({"scheduler": "processes:0"}, "this is no scheduler"),
    ],
)
def test_bad_requests_are_said_in_a_sentence(
    ask: Ask, net: tuple[Path, ModelGraph, DataSpec], wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(CompressorError, match=words):
        ask(net[0], net[2], **wrong)


def test_a_full_disk_costs_the_memory_only(ask: Ask, net: tuple[Path, ModelGraph, DataSpec]) -> None:
    ask.cache.write_text("no folder")
    found = ask(net[0], net[2], layers=("dense",))
    assert len(points(found)) == 6
    assert "can't be remembered" in found.notes[0]


# --- other processes -------------------------------------------------------------------------------------------------


def test_a_killed_engine_goes_on_from_the_last_point(tmp_path: Path) -> None:
    request = Sensitivity(
        ModelRef(str(SAMPLES / "lenet-300-100.pb")), digits(20), sparsities=SPARSITIES, bits=BITS, cache=str(tmp_path)
    )
    seen: queue.SimpleQueue[LayerCurve] = queue.SimpleQueue()
    with EngineClient() as engine:

        def kill(part: LayerCurve) -> None:
            seen.put(part)
            if part.name == "fc2/MatMul" and engine.pid is not None:
                os.kill(engine.pid, signal.SIGKILL)

        with pytest.raises(WorkerDied, match="SIGKILL"):
            engine.run(request, on_piece=kill)
        found = engine.run(request)
        assert found.reused >= seen.qsize() > 6
        assert len(found.layers) == 3
        assert engine.run(replace(request, cache=str(tmp_path / "new"))).layers == found.layers


def test_own_processes_give_the_same(ask: Ask, net: tuple[Path, ModelGraph, DataSpec], tmp_path: Path) -> None:
    here = ask(net[0], net[2], layers=("conv", "dense"))
    there = Ask(tmp_path / "other")(net[0], net[2], layers=("conv", "dense"), scheduler="processes:1")
    assert points(there) == pytest.approx(points(here), abs=0.01)


def test_a_cluster_gives_the_same_though_a_worker_dies(
    ask: Ask, net: tuple[Path, ModelGraph, DataSpec], tmp_path: Path, cluster: Cluster
) -> None:
    there = Ask(tmp_path / "other", on_event=lambda event: cluster.kill_one() if isinstance(event, Piece) else None)
    found = there(net[0], net[2], scheduler=cluster.address)
    assert cluster.workers == 1
    assert points(found) == pytest.approx(points(ask(net[0], net[2])), abs=0.01)
