"""The sample models keep the errors that their README states, on the pictures that come with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.data import DataSpec
from compressor_gui.core.datafiles import read_names
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes import apply
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.pbio import read_graph
from tests.support import SHARED, run_tf

SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"
FASHION = ("resnet-20", "mobilenet-v2-small")
BOUNDS = {"lenet-300-100": 0.016, "lenet-5": 0.008, "resnet-20": 0.075, "mobilenet-v2-small": 0.09}
SHIPPED = {name: SAMPLES / "fashion" if name in FASHION else SAMPLES for name in BOUNDS}
WHOLE = {name: SHARED / ("fashion" if name in FASHION else "mnist") for name in BOUNDS}


def pictures(folder: Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    images = gzip.decompress((folder / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    return pixels.astype(np.float32) / 255, np.frombuffer(labels, np.uint8, offset=8)


def error(name: str, images: np.ndarray, labels: np.ndarray) -> float:
    graph = read_graph(SAMPLES / f"{name}.pb")
    parts = [run_tf(graph, {"input": images[at : at + 500]}, ["output"])["output"] for at in range(0, len(images), 500)]
    return float((np.concatenate(parts).argmax(axis=1) != labels).mean())


@pytest.mark.parametrize(("name", "parameters"), [("lenet-300-100", 266_200), ("lenet-5", 430_500)])
def test_layers_are_those_of_the_literature(name: str, parameters: int) -> None:
    graph = read_graph(SAMPLES / f"{name}.pb")
    layers = find_layers(graph)
    assert sum(layer.parameters for layer in layers) == parameters
    assert all(layer.bias for layer in layers)
    assert (graph.inputs, graph.outputs) == (("input",), ("output",))


@pytest.mark.parametrize(
    ("name", "norms", "weights"), [("resnet-20", 21, 270_608), ("mobilenet-v2-small", 25, 165_360)]
)
def test_batch_normalisation_is_left_to_fold_and_all_of_it_folds(name: str, norms: int, weights: int) -> None:
    path = SAMPLES / f"{name}.pb"
    assert path.stat().st_size < 2_000_000
    graph = read_graph(path)
    assert sum(layer.parameters for layer in find_layers(graph)) == weights
    assert sum(node.op == "FusedBatchNormV3" for node in graph.nodes) == norms
    folded = apply(FoldBatchNorms(), graph).graph
    assert not any(node.op == "FusedBatchNormV3" for node in folded.nodes)
    assert (graph.inputs, graph.outputs) == (folded.inputs, folded.outputs) == (("input",), ("output",))


@pytest.mark.parametrize("name", BOUNDS)
def test_nothing_is_left_over_in_them(name: str) -> None:
    graph = read_graph(SAMPLES / f"{name}.pb")
    assert all(readers for node, readers in graph.consumers.items() if node not in graph.outputs)


def test_the_clothes_have_names() -> None:
    spec = DataSpec.load(SAMPLES / "fashion" / "data.json")
    assert Path(spec.path).is_file()
    names = read_names(spec.names).names
    assert (len(names), names[0], names[-1]) == (10, "T-shirt/top", "Ankle boot")


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", BOUNDS)
def test_error_on_the_pictures_that_come_with_them(name: str) -> None:
    images, labels = pictures(SHIPPED[name], "t10k-1000")
    assert images.shape == (1000, 28, 28, 1)
    assert error(name, images, labels) <= BOUNDS[name]


@pytest.mark.parametrize("name", BOUNDS)
def test_what_comes_with_them_is_the_beginning_of_the_whole_test_set(name: str) -> None:
    for whole, shipped in zip(_whole(name), pictures(SHIPPED[name], "t10k-1000"), strict=True):
        assert np.array_equal(whole[:1000], shipped)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [name for name in BOUNDS if name not in FASHION])
def test_error_on_the_whole_test_set(name: str) -> None:
    """The large networks' would take a minute: the experiment table's command measures it."""
    assert error(name, *_whole(name)) <= BOUNDS[name]


def _whole(name: str) -> tuple[np.ndarray, np.ndarray]:
    if not WHOLE[name].is_dir():
        pytest.skip(f"the pictures in ../shared/{WHOLE[name].name} are not here")
    return pictures(WHOLE[name], "t10k")
