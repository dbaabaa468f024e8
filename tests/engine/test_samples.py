"""The sample models keep the errors that their README states, on the digits that come with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.layers import find_layers
from compressor_gui.core.pbio import read_graph
from tests.support import SHARED, run_tf

SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"
BOUNDS = {"lenet-300-100": 0.016, "lenet-5": 0.008}
MNIST = SHARED / "mnist"


def digits(folder: Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    images = gzip.decompress((folder / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    return pixels.astype(np.float32) / 255, np.frombuffer(labels, np.uint8, offset=8)


def error(name: str, images: np.ndarray, labels: np.ndarray) -> float:
    output = run_tf(read_graph(SAMPLES / f"{name}.pb"), {"input": images}, ["output"])["output"]
    return float((output.argmax(axis=1) != labels).mean())


@pytest.mark.parametrize(("name", "parameters"), [("lenet-300-100", 266_200), ("lenet-5", 430_500)])
def test_layers_are_those_of_the_literature(name: str, parameters: int) -> None:
    graph = read_graph(SAMPLES / f"{name}.pb")
    layers = find_layers(graph)
    assert sum(layer.parameters for layer in layers) == parameters
    assert all(layer.bias for layer in layers)
    assert (graph.inputs, graph.outputs) == (("input",), ("output",))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", BOUNDS)
def test_error_on_the_digits_that_come_with_them(name: str) -> None:
    images, labels = digits(SAMPLES, "t10k-1000")
    assert images.shape == (1000, 28, 28, 1)
    assert error(name, images, labels) <= BOUNDS[name]


@pytest.mark.tensorflow
@pytest.mark.skipif(not MNIST.is_dir(), reason="the MNIST digits in ../shared/mnist are not here")
@pytest.mark.parametrize("name", BOUNDS)
def test_error_on_the_whole_test_set(name: str) -> None:
    images, labels = digits(MNIST, "t10k")
    shipped_images, shipped_labels = digits(SAMPLES, "t10k-1000")
    assert np.array_equal(images[:1000], shipped_images)
    assert np.array_equal(labels[:1000], shipped_labels)
    assert error(name, images, labels) <= BOUNDS[name]
