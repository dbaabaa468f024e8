"""What a graph needs is held against the registries of the TensorFlow that runs, which are made to lack something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compressor_gui.core.choose import ChooseRegions
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.jobs import CheckExport
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.int8.kernels import FUSED_OPS
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.serve import Job
from compressor_gui.core.values import DType
from tests.support import Net, applied, conv_net, graph, placeholder, residual_net

pytestmark = pytest.mark.tensorflow

CONV, SUM = "QuantizedConv2DWithBiasAndReluAndRequantize", "QuantizedConv2DWithBiasSumAndReluAndRequantize"
DEPTHWISE = "QuantizedDepthwiseConv2DWithBiasAndReluAndRequantize"


def two_regions() -> ModelGraph:
    """Of a convolution, and behind a Sigmoid of a convolution and a depthwise one."""
    net = Net((-1, 8, 8, 8)).conv(8).bias().then("Relu").then("Sigmoid").conv(8).bias().then("Relu")
    return net.depthwise().bias().then("Relu").build()


def fusing(model: ModelGraph) -> FuseInt8:
    ranges = dict.fromkeys(FuseInt8(everywhere=True).activations(model), (0.0, 4.0))
    return FuseInt8(tuple(ranges.items()), everywhere=True)


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch, onednn: None) -> Any:
    """Makes the registry forget the kernels of an operation."""
    from tensorflow.python.framework import kernels

    registered = kernels.get_registered_kernels_for_op

    def forget(op: str) -> None:
        monkeypatch.setattr(
            kernels, "get_registered_kernels_for_op", lambda name: registered("None" if name == op else name)
        )

    return forget


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("model", [conv_net(), residual_net(), two_regions()], ids=["conv", "residual", "depthwise"])
def test_this_tensorflow_lacks_nothing_that_the_passes_make(model: ModelGraph) -> None:
    from compressor_gui.engine.registry import lacks

    assert lacks(applied(fusing(model), model).graph) == ()
    assert lacks(applied(QuantizeNodes(), model).graph) == ()


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize(
    ("op", "attrs", "words"),
    [
        ("QuantizedNothing", {"T": DType.QUINT8}, "has no operation QuantizedNothing"),
        ("QuantizedMaxPool", {"T": DType.QUINT8, "sharp": 1}, "the QuantizedMaxPool of .* has no attribute sharp"),
        ("QuantizedMaxPool", {"T": DType.QUINT8, "_scope": 1}, ""),
        ("QuantizedMaxPool", {"T": DType.QINT32}, r"has no kernel for QuantizedMaxPool here \(T qint32\)"),
        (CONV, {"Tbias": DType.HALF}, f"the {CONV} of .* allows no half as Tbias"),
        ("Neg", {"T": DType.FLOAT, "sharp": 1}, ""),  # no 8-bit operation: TensorFlow's own words are good enough
    ],
)
def test_what_is_lacking_is_named(op: str, attrs: dict[str, Any], words: str) -> None:
    from compressor_gui.engine.registry import refuse_lacking

    made = graph(placeholder("x", (1, 4)), Node.make("y", op, ["x"], **attrs))
    if not words:
        refuse_lacking(made, "net.pb")
        return
    with pytest.raises(CompressorError, match=f"^net.pb: .*{words}.* \\(y\\)"):
        refuse_lacking(made, "net.pb")


def test_an_export_is_refused_with_the_nodes_and_what_to_do(lose: Any, tmp_path: Path) -> None:
    from compressor_gui.engine.check import check_export

    model = two_regions()
    paths = str(tmp_path / "before.pb"), str(tmp_path / "after.pb")
    for path, made in zip(paths, (model, applied(fusing(model), model).graph), strict=True):
        write_graph(made, path)
    lose(DEPTHWISE)
    with pytest.raises(
        CompressorError, match=f"after.pb: .*has no kernel for {DEPTHWISE} here .*_int8.*quantize_nodes"
    ):
        check_export(CheckExport(*paths, model.outputs), Job(1, lambda *_: None))


def test_onednn_that_is_off_is_a_lack_of_fused_kernels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from compressor_gui.engine import registry

    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    model = conv_net()
    assert registry.lacks(applied(QuantizeNodes(), model).graph) == ()
    fused = applied(fusing(model), model).graph
    (lack,) = registry.lacks(fused)
    assert lack.words.endswith("oneDNN is off")
    assert {fused[name].op for name in lack.nodes} <= FUSED_OPS
    for remapping, words in ((True, "unset it, or set it to 1"), (False, "TensorFlow crashed on this graph")):
        monkeypatch.setattr(registry, "REMAPPING", remapping)
        with pytest.raises(CompressorError, match=words):
            registry.refuse_lacking(fused, "net.pb")


def test_regions_without_a_kernel_are_left_in_float_and_not_timed(lose: Any, tmp_path: Path) -> None:
    from compressor_gui.engine.choose_regions import choose_regions, without_kernels

    model = two_regions()
    write_graph(model, tmp_path / "net.pb")
    recipe = Recipe.of(fusing(model))
    ref = ModelRef(str(tmp_path / "net.pb"), recipe.to_json())
    first, second = fusing(model).regions(model)
    assert without_kernels(ref, recipe, (first, second)) == (frozenset(), ())
    lose(DEPTHWISE)
    skip, (words,) = without_kernels(ref, recipe, (first, second))
    assert skip == set(second)
    assert DEPTHWISE in words
    lose(CONV)
    with pytest.raises(CompressorError, match=r"no region can be fused: .*has no kernel"):
        choose_regions(ChooseRegions(ref, runs=1), Job(1, lambda *_: None))
