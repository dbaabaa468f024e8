from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.op_outputs import output_types
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.insert_logging import InsertLogging
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.ranges_file import log_ranges, parse_log
from compressor_gui.core.values import DType
from tests.support import (
    applied,
    conv_net,
    graph,
    graphs,
    node,
    placeholder,
    real_model,
    relative_error,
    run_tf,
    synthetic_feeds,
)

RANGES = InsertLogging(op=("RequantizationRange",), show_name=True, message="__requant_min_max:")


def test_types_come_from_the_op_registry() -> None:
    assert output_types(node("a", "Split", "x", num_split=3)) == (DType.FLOAT,) * 3
    assert output_types(node("a", "Shape", "x")) == (DType.INT32,)
    assert output_types(node("a", "RequantizationRange", "x")) == (DType.FLOAT, DType.FLOAT)
    assert output_types(node("a", "IdentityN", "x", T=(DType.INT8, DType.BOOL))) == (DType.INT8, DType.BOOL)
    assert output_types(node("a", "NobodyKnows", "x")) is None
    assert output_types(node("a", "Cast", "x")) is None


def test_readers_of_the_first_output_read_the_print() -> None:
    before = graph(
        placeholder("x", (4,)),
        node("parts", "Split", "x", num_split=2),
        node("y", "Sub", "parts", "parts:1", "^parts"),
    )
    done = applied(InsertLogging(op=("Split",), show_op=True, show_name=True, message="here: ", first_n=3), before)
    made = done.graph["parts__print__"]
    assert made.inputs == ("parts", "parts", "parts:1")
    assert made.attrs["message"] == b";Split;;parts__print__;here: "
    assert made.attrs["U"] == (DType.FLOAT, DType.FLOAT)
    assert (made.attrs["first_n"], made.attrs["summarize"]) == (3, 1024)
    assert done.graph["y"].inputs == ("parts__print__", "parts:1", "^parts")


def test_a_print_hands_on_what_is_read_where_the_first_output_is_not() -> None:
    before = graph(placeholder("x", (4,)), node("parts", "Split", "x", num_split=2), node("y", "Neg", "parts:1"))
    after = applied(InsertLogging(op=("Split",)), before).graph
    assert after["parts__print__"].inputs == ("parts:1", "parts:1")
    assert after["y"].inputs == ("parts__print__",)


def test_prefixes_and_operations_both_have_to_fit() -> None:
    chosen = {name for name in applied(InsertLogging(prefix=("conv", "bi")), conv_net()).graph if "__print__" in name}
    assert chosen == {"conv__print__", "conv/weights__print__", "bias__print__", "bias/values__print__"}
    both = applied(InsertLogging(op=("Const",), prefix=("conv",)), conv_net()).graph
    assert [name for name in both if "__print__" in name] == ["conv/weights__print__"]


@pytest.mark.parametrize("op", ["Switch", "NobodyKnows", "VarHandleOp"])
def test_what_cannot_be_printed_is_said(op: str) -> None:
    before = graph(placeholder("x", ()), node("a", op, "x"), node("y", "Neg", "a"))
    done = applied(InsertLogging(op=(op,)), before)
    assert not done.changed
    assert "Not printed, as" in done.notes[0]


def test_nothing_chosen_is_said() -> None:
    assert applied(RANGES, conv_net()).notes == ("No node that something reads was chosen.",)


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(InsertLogging(), model)
    read = {ref.name for found in model.nodes for ref in found.data_refs}
    assert {name for name in done.graph if name.endswith("__print__")} == {f"{name}__print__" for name in read}


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["emotion", "liveness"])
def test_the_log_of_a_real_model_is_read_and_freezes_its_ranges(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = applied(QuantizeNodes(), real_model(model)).graph
    done = applied(RANGES, before)
    feeds = synthetic_feeds(before)
    expected = run_tf(before, feeds)
    capfd.readouterr()
    found = run_tf(done.graph, feeds)
    records = parse_log(capfd.readouterr().err)
    for output in before.outputs:
        np.testing.assert_array_equal(expected[output], found[output])
    wanted = [found.name for found in before.nodes if found.op == "RequantizationRange"]
    assert sorted(records) == sorted(wanted)
    measured = run_tf(before, feeds, [f"{name}:{port}" for name in wanted for port in (0, 1)])
    for name in wanted:
        np.testing.assert_allclose(records[name], [[measured[f"{name}:{port}"] for port in (0, 1)]], rtol=1e-5)
    frozen = applied(FreezeRequantizationRanges(ranges=log_ranges(records)), before).graph
    assert "RequantizationRange" not in frozen.op_counts
    for output in before.outputs:
        assert relative_error(expected[output], run_tf(frozen, feeds)[output]) < 0.05
