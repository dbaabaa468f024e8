"""The job that finds each layer's precision, on the samples and on small networks with known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.layers import find_layers
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.mixed_job import FindPrecision, Precision
from compressor_gui.core.passes import apply, make
from compressor_gui.core.pbio import byte_size, read_graph, write_graph
from compressor_gui.core.protocol import Event, Progress
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.serve import Job, Stop
from tests.engine.test_sensitivity import SAMPLES, digits
from tests.support import Net, run_tf, sqnr_db

pytestmark = pytest.mark.tensorflow

LENET = SAMPLES / "lenet-300-100.pb"

Ask = Callable[..., Precision]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    def run(model: Path, data: DataSpec, heard: Callable[[Job, Event], None] | None = None, **wanted: Any) -> Precision:
        from compressor_gui.engine.mixed_precision import mixed_precision

        job = Job(1, lambda _, event: heard(job, event) if heard else None)
        recipe = wanted.pop("recipe", "")
        return mixed_precision(FindPrecision(ModelRef(str(model), recipe), data, cache=str(tmp_path), **wanted), job)

    return run


def unlabelled(folder: Path) -> tuple[Path, DataSpec]:
    """A small network in a file, and 16 examples without labels."""
    net = Net((-1, 8, 8, 4)).conv(16).bias().then("Relu").conv(32).bias().then("Relu").flatten().dense(10)
    write_graph(net.build(), folder / "model.pb")
    np.savez(folder / "x.npz", x=np.random.default_rng(0).random((16, 8, 8, 4), np.float32))
    data = guess(read_graph(folder / "model.pb"), str(folder / "x.npz"))
    return folder / "model.pb", replace(data, mean=0.0, std=1.0)


def test_the_target_is_met_by_what_was_measured(tmp_path: Path, ask: Ask) -> None:
    model, data = unlabelled(tmp_path)
    before = read_graph(model)
    found = ask(model, data, min_sqnr_db=30.0)
    assert found.met
    assert found.lack == ""
    step = FindPrecision(ModelRef(str(model)), data, min_sqnr_db=30.0).step(found.path.bits(found.chosen))
    assert step is not None
    after = apply(step, before).graph
    feeds = {before.inputs[0]: np.load(data.path)["x"]}
    (expected,), (got,) = run_tf(before, feeds).values(), run_tf(after, feeds).values()
    assert found.values[found.chosen] == pytest.approx(sqnr_db(expected, got), abs=0.05)
    assert found.values[found.chosen] >= 30
    point = next(point for point in found.measured if point.at == found.chosen)
    size = byte_size(after)
    assert size == point.bytes == found.path.costs[found.chosen]
    assert size < 0.4 * byte_size(before)
    assert found.n == 16


def test_an_accuracy_is_kept(ask: Ask) -> None:
    seen: list[Progress] = []
    found = ask(
        LENET,
        digits(200),
        lambda _, event: seen.append(event) if isinstance(event, Progress) else None,
        max_drop=0.01,
        bits=(32, 8, 4, 2),
        batch=100,
    )
    assert found.metric == "top1"
    assert found.met
    assert found.values[found.chosen] >= found.baseline - 0.01 - 1e-6
    assert found.path.costs[found.chosen] < 0.15 * byte_size(read_graph(LENET))
    assert {layer.name for layer in found.layers} == {layer.name for layer in find_layers(read_graph(LENET))}
    assert found.layers[0].bits == (32, 8, 4, 2)
    assert found.layers[0].db[0] == EXACT_DB
    assert any(event.message.startswith("sensitivity: ") for event in seen)
    assert any(event.message.startswith("measuring all layers together") for event in seen)


def test_a_target_that_can_not_be_met(ask: Ask) -> None:
    found = ask(LENET, digits(50), min_sqnr_db=40.0, bits=(3, 2), batch=50)
    assert not found.met
    assert found.chosen == 0
    best = found.values[0]
    assert best < 40
    assert f"{best:.1f} dB on " in found.lack
    assert f"{40 - best:.1f} dB less than the target" in found.lack


def test_the_steps_before_it_are_kept(ask: Ask) -> None:
    recipe = Recipe.of(make("prune", {"sparsity": 0.9})).to_json()
    found = ask(LENET, digits(50), recipe=recipe, min_sqnr_db=20.0, bits=(32, 8, 4), batch=50)
    assert found.met
    pruned = byte_size(read_graph(LENET)) * 0.1
    assert found.path.costs[found.chosen] < pruned  # zeros take next to nothing


def test_it_can_be_cancelled(ask: Ask) -> None:
    def heard(job: Job, event: Event) -> None:
        if isinstance(event, Progress) and event.message.startswith("measuring all"):
            job.cancelled.set()

    with pytest.raises(Stop):
        ask(LENET, digits(50), heard, min_sqnr_db=20.0, bits=(32, 4), batch=50)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({}, "either an SQNR or a drop"),
        ({"min_sqnr_db": 20.0, "max_drop": 0.1}, "either an SQNR or a drop"),
        ({"min_sqnr_db": -3.0}, "between 0 and 200"),
        ({"min_sqnr_db": float("nan")}, "between 0 and 200"),
        ({"max_drop": 1.5}, "less than 100"),
        ({"min_sqnr_db": 20.0, "bits": (8, 17)}, "can't have 17 bits"),
        ({"min_sqnr_db": 20.0, "bits": (0,)}, "can't have 0 bits"),
        ({"min_sqnr_db": 20.0, "bits": ()}, "no number of bits"),
        ({"min_sqnr_db": 20.0, "bits": (32, 16)}, "no layer has weights that can be stored in these"),
        ({"min_sqnr_db": 20.0, "fused": True}, "needs the ranges"),
    ],
)
def test_what_makes_no_sense_is_said(ask: Ask, wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CompressorError, match=sentence):
        ask(LENET, digits(10), **wanted)


@pytest.mark.parametrize("step", ["quantize_weights", "quantize_nodes"])
def test_a_step_that_has_quantized_already_is_named(ask: Ask, step: str) -> None:
    recipe = Recipe.of(make(step, {"minimum_size": 0} if step == "quantize_weights" else {})).to_json()
    with pytest.raises(CompressorError, match=f"the recipe's {step} stores the weights in 8 bits already"):
        ask(LENET, digits(10), min_sqnr_db=20.0, recipe=recipe)


def test_a_graph_that_is_quantized_already_is_named(tmp_path: Path, ask: Ask) -> None:
    made = apply(make("quantize_weights", {"minimum_size": 0}), read_graph(LENET)).graph
    write_graph(made, tmp_path / "small.pb")
    with pytest.raises(CompressorError, match="quantized already"):
        ask(tmp_path / "small.pb", digits(10), min_sqnr_db=20.0)


def test_top1_needs_labels(tmp_path: Path, ask: Ask) -> None:
    with pytest.raises(CompressorError, match="no labels"):
        ask(*unlabelled(tmp_path), max_drop=0.1)


def test_layers_in_fused_int8_or_in_float(ask: Ask) -> None:
    from compressor_gui.core.measure import Calibrate
    from compressor_gui.engine.calibrate import calibrate

    model, data = SAMPLES / "lenet-5.pb", digits(20)
    recipe = Recipe.of(make("fuse_int8", {})).to_json()
    ranges = calibrate(Calibrate(ModelRef(str(model), recipe), data), Job(1, lambda *_: None)).ranges
    wanted = {"fused": True, "ranges": ranges, "without_vnni": True, "batch": 20}
    found = ask(model, data, min_sqnr_db=10.0, **wanted)
    assert found.met
    bits = found.path.bits(found.chosen)
    assert set(bits.values()) <= {8, 32}
    assert 8 in bits.values()
    assert found.path.costs[found.chosen] < found.path.costs[0]
    assert found.measured[-1].bytes < byte_size(read_graph(model))
    strict = ask(model, data, min_sqnr_db=150.0, **wanted)
    assert strict.values[strict.chosen] == EXACT_DB
    alone = strict.path.bits(strict.chosen)
    assert set(alone.values()) == {32} or "leaves in float" in strict.notes[0]
