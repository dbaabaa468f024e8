from __future__ import annotations

import pytest
from hypothesis import given

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.rename_op import RenameOp
from tests.same_bits import assert_same_bits
from tests.support import applied, conv_net, graphs, real_model, residual_net


def test_all_nodes_of_the_operation_change_and_keep_the_rest() -> None:
    before = residual_net()
    done = applied(RenameOp("AddV2", "Add"), before)
    assert done.graph["sum"].op == "Add"
    assert done.graph["sum"].inputs == before["sum"].inputs
    assert list(done.origins) == ["sum"]


def test_an_operation_that_is_not_there_is_said() -> None:
    done = applied(RenameOp("Elu", "Relu"), conv_net())
    assert not done.changed
    assert done.notes == ("No node is of the operation Elu.",)
    assert not applied(RenameOp("Relu", "Relu"), conv_net()).changed


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("rename_op(new_op_name=Relu)", "old_op_name='' is no name"),
        ("rename_op(old_op_name=Relu, new_op_name='max pool')", "new_op_name='max pool' is no name"),
        ("rename_op(old_op_name=Relu, new_op_name=Const)", "node 'relu': it is a constant and has an input"),
    ],
)
def test_what_cannot_be_done(call: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse(call).run(conv_net())


@given(graphs())
def test_there_and_back(model: ModelGraph) -> None:
    done = applied(RenameOp("AddV2", "AddN2"), model)
    back = applied(RenameOp("AddN2", "AddV2"), done.graph)
    assert all(back.graph[name].same(model[name]) for name in model)


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["gear", "handlandmark-full"])
def test_real_models_compute_the_same_bits(model: str) -> None:
    before = real_model(model)
    done = applied(RenameOp("Identity", "Snapshot"), before)
    assert done.changed
    assert_same_bits(before, done.graph)
