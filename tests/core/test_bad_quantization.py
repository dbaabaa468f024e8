"""Bad input of the quantizing passes: on the command line one sentence and exit code 2, and nothing is written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import apply, parse
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.stats import summary
from tests.bad_steps import DOES_NOT_FIT, NOT_A_STEP
from tests.support import Net, const, conv_net, placeholder

QUANTIZING = (
    "quantize_nodes",
    "quantize_nodes(mode=weights)",
    "quantize_nodes(mode=round)",
    "quantize_nodes(mode=quantize)",
    "quantize_nodes(mode=weights_rounded)",
    "quantize_weights(minimum_size=1)",
    "quantize_weights(minimum_size=1,per_channel=false)",
    "round_weights(minimum_size=1)",
    "mixed_precision(rest=4)",
    "clip_outliers(bits=2)",
    "clip_outliers(bits=2,per_channel=false)",
    "fuse_int8(ranges={'input': [0, 1], 'relu': [0, 4], 'bias': [-4, 4]},everywhere=true)",
)
STAYS_FLOAT = re.compile("round|mode=quantize|clip")


def compress(model: ModelGraph, tmp_path: Path, *steps: str) -> Result:
    write_graph(model, tmp_path / "model.pb")
    words = [word for step in steps for word in ("--pass", step)]
    target = tmp_path / "out.pb"
    done = CliRunner().invoke(cli, ["compress", str(tmp_path / "model.pb"), "-o", str(target), "--no-verify", *words])
    assert target.exists() == (done.exit_code == 0)
    return done


@pytest.mark.parametrize(("step", "words"), (NOT_A_STEP | DOES_NOT_FIT).items())
def test_one_sentence_and_nothing_written(tmp_path: Path, step: str, words: str) -> None:
    done = compress(conv_net(), tmp_path, step)
    (line,) = done.stderr.splitlines()
    assert (done.exit_code, done.stdout) == (2, "")
    assert line.startswith("error: ")
    assert words in line
    assert step.partition("(")[0] in line


@pytest.mark.parametrize("content", ['{"relu": [NaN, 1]}', '{"relu": [0, Infinity]}', '{"relu": [0]}', '{"relu": "x"}'])
@pytest.mark.parametrize("name", ["fuse_int8", "freeze_requantization_ranges"])
def test_a_file_of_ranges_that_are_none(tmp_path: Path, content: str, name: str) -> None:
    (tmp_path / "ranges.json").write_text(content)
    done = compress(conv_net(), tmp_path, f"{name}(ranges='{tmp_path / 'ranges.json'}')")
    (line,) = done.stderr.splitlines()
    assert done.exit_code == 2
    assert "relu" in line


def test_ranges_of_another_model(tmp_path: Path) -> None:
    done = compress(conv_net(), tmp_path, "quantize_nodes", "freeze_requantization_ranges(ranges={'block1': [0, 1]})")
    assert "step 2: freeze_requantization_ranges: 'block1' has no RequantizationRange" in done.stderr


@pytest.mark.parametrize("step", [step for step in QUANTIZING if not STAYS_FLOAT.search(step)])
def test_a_graph_that_is_quantized_already(step: str) -> None:
    """A second run is refused in one sentence. (Of rounded weights one can't see it.)"""
    made = apply(parse(step), conv_net()).graph
    with pytest.raises(PassError, match="the graph is quantized already"):
        apply(parse(step), made)


@pytest.mark.parametrize(
    "step",
    [
        "quantize_nodes",
        "quantize_weights(minimum_size=1)",
        "round_weights(minimum_size=1)",
        "mixed_precision(rest=4)",
        "equalize_layers",
        "clip_outliers",
    ],
)
def test_a_graph_that_another_step_quantized(tmp_path: Path, step: str) -> None:
    done = compress(conv_net(), tmp_path, "quantize_nodes", step)
    (line,) = done.stderr.splitlines()
    assert done.exit_code == 2
    assert line.startswith(f"error: step 2: {step.partition('(')[0]}: the graph is quantized already: ")
    assert "'conv_eightbit_quantize_input' is a QuantizeV2 (take the float graph, or leave this step out)" in line


def test_inputs_that_are_fed_in_8_bits_already(tmp_path: Path) -> None:
    done = compress(conv_net(), tmp_path, "quantize_placeholders", "quantize_placeholders")
    assert "step 2: quantize_placeholders: the graph is quantized already: 'input' is fed as quint8" in done.stderr


@pytest.mark.parametrize(
    "step", ["quantize_weights(minimum_size=1)", "mixed_precision(rest=4)", "clip_outliers(bits=3)"]
)
def test_what_is_still_float_of_a_graph_that_is_quantized_in_part(step: str) -> None:
    part = apply(parse("quantize_weights(minimum_size=1,skip=dense)"), conv_net()).graph
    far = np.array(part["dense/weights"].tensor.array)  # type: ignore[union-attr]
    far[0] = np.random.default_rng(0).normal(size=10)
    part = ModelGraph((const(n.name, far) if n.name == "dense/weights" else n for n in part.nodes), (), part.outputs)
    done = apply(parse(step), part)
    assert done.changed
    assert done.graph["conv/weights"] is part["conv/weights"]
    assert done.graph["dense/weights"] is not part["dense/weights"]


def test_nothing_is_asked_of_a_graph_that_is_quantized_already() -> None:
    made = apply(parse("quantize_nodes"), conv_net()).graph
    assert not apply(parse("mixed_precision"), made).changed


def test_a_graph_for_which_training_simulated_eight_bits_is_not_quantized() -> None:
    net = Net((1, 4, 4, 3))
    ends = [net.const(name, value) for name, value in (("low", 0.0), ("high", 1.0))]
    net.then("QuantizeAndDequantizeV2", *ends, name="simulated")
    assert not apply(parse("quantize_nodes"), net.build()).notes[1:]


def test_weights_that_another_pass_stored_are_not_quantized_at_every_run() -> None:
    stored = apply(parse("quantize_weights(minimum_size=1)"), conv_net()).graph
    done = apply(parse("quantize_nodes"), stored)
    assert done.graph["conv"] is stored["conv"]
    assert "Conv2D of weights that are stored in 8 bits by another pass: conv stays in float." in done.notes


@pytest.mark.parametrize("value", [0.0, 2.5, -1e-30])
@pytest.mark.parametrize("step", QUANTIZING)
def test_weights_that_are_all_equal(value: float, step: str) -> None:
    """They come back as they were, or stay; nothing is divided by a width of zero."""
    model = conv_net()
    flat = {name: const(name, np.full(model[name].tensor.array.shape, value, np.float32))  # type: ignore[union-attr]
            for name in ("conv/weights", "dense/weights")}  # fmt: skip
    with np.errstate(all="raise"):
        done = apply(parse(step), ModelGraph([flat.get(n.name, n) for n in model.nodes], outputs=model.outputs))
    for made in done.graph.nodes:
        if made.tensor is not None:
            assert not summary(made.tensor).not_finite, made.name


@pytest.mark.parametrize("step", QUANTIZING)
def test_a_placeholder_of_unknown_shape(step: str) -> None:
    model = conv_net()
    free = ModelGraph([placeholder("input", None), *list(model.nodes)[1:]], outputs=model.outputs)
    assert apply(parse(step), free).changed
