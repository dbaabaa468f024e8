from __future__ import annotations

import pytest
from hypothesis import given

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.set_device import SetDevice
from tests.same_bits import assert_same_bits
from tests.support import applied, conv_net, graph, graphs, node, placeholder, real_model


def test_everywhere_or_where_none_is_set() -> None:
    before = graph(placeholder("x", ()), node("y", "Neg", "x").with_(device="/device:GPU:0"))
    assert {n.device for n in applied(SetDevice("/cpu:0"), before).graph.nodes} == {"/cpu:0"}
    default = applied(SetDevice("/cpu:0", if_default=True), before)
    assert default.graph["y"] is before["y"]
    assert default.graph["x"].device == "/cpu:0"


@pytest.mark.parametrize("device", ["", "/device:CPU:0", "/job:worker/replica:0/task:1/device:GPU:*", "/gpu:1"])
def test_devices(device: str) -> None:
    assert {n.device for n in applied(SetDevice(device), conv_net()).graph.nodes} == {device}


@pytest.mark.parametrize("device", ["cpu", "/device:CPU", "/cpu:0 ", "/disk:0"])
def test_what_is_no_device(device: str) -> None:
    with pytest.raises(PassError, match="is no device"):
        SetDevice(device).run(conv_net())


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(SetDevice(), model)
    assert set(done.origins) == set(model)
    assert not applied(SetDevice(), done.graph).changed


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["emotion", "liveness"])
def test_real_models_compute_the_same_bits(model: str) -> None:
    before = real_model(model)
    assert_same_bits(before, applied(SetDevice(), before).graph)
