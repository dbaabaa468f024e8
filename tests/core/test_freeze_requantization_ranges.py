from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from tests.support import applied, conv_net, graphs


def eightbit() -> ModelGraph:
    return QuantizeNodes().run(conv_net()).graph


def freeze(ranges: Any) -> FreezeRequantizationRanges:
    return FreezeRequantizationRanges(ranges=ranges)


def limits(model: ModelGraph, requantize: str) -> list[float]:
    return [float(model.constant(model[requantize], index).array) for index in (3, 4)]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["conv", "conv_eightbit_requant_range", "conv_eightbit_requantize"])
def test_constants_take_the_place_of_the_node(name: str) -> None:
    before = eightbit()
    done = applied(freeze({name: [-1.5, 2.5]}), before)
    after = done.graph
    assert after["conv_eightbit_requantize"].inputs[3:] == (
        "conv_eightbit_requant_range/frozen_min",
        "conv_eightbit_requant_range/frozen_max",
    )
    assert limits(after, "conv_eightbit_requantize") == [-1.5, 2.5]
    assert "conv_eightbit_requant_range" not in after
    assert done.origins["conv_eightbit_requant_range/frozen_max"] == ("conv_eightbit_requant_range",)
    assert after["bias_eightbit_requantize"] is before["bias_eightbit_requantize"]
    assert "3 RequantizationRange nodes have no stored range" in done.notes[0]


def test_ranges_from_a_file_become_part_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    path.write_text(json.dumps({"dense": [-4, 4], "bias": [-1, 1]}))
    step = parse(f"freeze_requantization_ranges(ranges={str(path)!r})")
    path.unlink()
    assert step.to_json()["ranges"] == {"bias": [-1.0, 1.0], "dense": [-4.0, 4.0]}
    assert limits(applied(step, eightbit()).graph, "dense_eightbit_requantize") == [-4, 4]


def test_a_range_beside_zero_is_widened_with_a_note() -> None:
    done = applied(freeze({"conv": [1, 2], "bias": [-2, -1]}), eightbit())
    assert limits(done.graph, "conv_eightbit_requantize") == [0, 2]
    assert limits(done.graph, "bias_eightbit_requantize") == [-2, 0]
    assert sum("Widened" in note for note in done.notes) == 2


@pytest.mark.parametrize(
    ("given_range", "words"),
    [([2, 1], "reversed"), ([1, 1], "is empty"), ([float("nan"), 1], "not finite"), ([0, float("inf")], "not finite")],
)
def test_wrong_ranges_say_so(given_range: list[float], words: str) -> None:
    with pytest.raises(PassError, match=words) as caught:
        freeze({"conv": given_range})
    assert "conv" in str(caught.value)


@pytest.mark.parametrize("given_ranges", [{"conv": [1]}, {"conv": "wide"}, "no such file.json", 3])
def test_what_is_no_map_of_ranges_says_so(given_ranges: Any) -> None:
    with pytest.raises(PassError, match="ranges"):
        freeze(given_ranges)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({}, "no range is given"),
        ({"comv": [0, 1]}, "did you mean conv"),
        ({"relu": [0, 1]}, "no RequantizationRange"),
        ({"conv": [0, 1], "conv_eightbit_requantize": [0, 1]}, "same range"),
    ],
)
def test_nodes_that_have_no_such_range_say_so(ranges: dict[str, list[float]], words: str) -> None:
    with pytest.raises(PassError, match=words):
        freeze(ranges).run(eightbit())


def test_a_graph_without_ranges_says_what_to_do() -> None:
    with pytest.raises(PassError, match="run quantize_nodes first"):
        freeze({"conv": [0, 1]}).run(conv_net())


def test_who_waits_for_a_range_waits_for_the_constant() -> None:
    before = eightbit()
    late = Node.make("late", "NoOp", ["^conv_eightbit_requant_range"])
    after = applied(freeze({"conv": [0, 1]}), ModelGraph([*before.nodes, late], outputs=before.outputs)).graph
    assert after["late"].inputs == ("^conv_eightbit_requant_range/frozen_min",)


@given(graphs(), st.data())
def test_random_graphs(before: ModelGraph, data: st.DataObject) -> None:
    before = QuantizeNodes().run(before).graph
    names = [node.name for node in before.nodes if node.op == "RequantizationRange"]
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1)) if names else []
    if not chosen:
        return
    end = st.floats(np.float32(0.015625), 100, width=32)
    ranges = {name: (-data.draw(end), data.draw(end)) for name in chosen}
    after = applied(freeze(ranges), before).graph
    assert {node.name for node in after.nodes if node.op == "RequantizationRange"} == set(names) - set(chosen)
    for name, wanted in ranges.items():
        readers = [node for node in after.nodes if f"{name}/frozen_min" in node.inputs]
        assert [node.op for node in readers] == ["Requantize"]
        assert tuple(limits(after, readers[0].name)) == wanted
