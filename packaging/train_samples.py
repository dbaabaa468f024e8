"""Train the two sample networks on MNIST and freeze them into ``resources/samples``, with 1,000 test digits.

    .venv/bin/python packaging/train_samples.py [--only lenet-5] [--mnist ../shared/mnist]

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition, 1998. LeNet-5 has
the sizes that Caffe made usual (20-50-500-10, 431,080 parameters), with a ReLU behind each layer; both are the networks
that the literature on pruning measures itself by (S. Han et al., 2015).
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

SAMPLES = Path(__file__).resolve().parents[1] / "resources" / "samples"
BATCH = 100
SHIPPED = 1000
"""How many test pictures come with the samples."""

Weights = dict[str, tf.Tensor | tf.Variable]


def convolution(x: tf.Tensor, weights: Weights, name: str) -> tf.Tensor:
    """A convolution without padding, bias, ReLU, and the maximum of every 2x2: [n, h, w, c] -> [n, h', w', c']."""
    x = tf.nn.conv2d(x, weights[f"{name}/kernel"], strides=1, padding="VALID", name=f"{name}/Conv2D")
    x = tf.nn.relu(tf.nn.bias_add(x, weights[f"{name}/bias"], name=f"{name}/BiasAdd"), name=f"{name}/Relu")
    return tf.nn.max_pool2d(x, ksize=2, strides=2, padding="VALID", name=f"{name}/MaxPool")


def dense(x: tf.Tensor, weights: Weights, name: str) -> tf.Tensor:
    """A fully connected layer: [n, inputs] -> [n, outputs]."""
    x = tf.linalg.matmul(x, weights[f"{name}/kernel"], name=f"{name}/MatMul")
    return tf.nn.bias_add(x, weights[f"{name}/bias"], name=f"{name}/BiasAdd")


def lenet_300_100(images: tf.Tensor, weights: Weights) -> tf.Tensor:
    """Digits [n, 28, 28, 1] from 0 to 1 -> logits [n, 10]."""
    x = tf.reshape(images, [-1, 784], name="flatten")
    x = tf.nn.relu(dense(x, weights, "fc1"), name="fc1/Relu")
    x = tf.nn.relu(dense(x, weights, "fc2"), name="fc2/Relu")
    return dense(x, weights, "fc3")


def lenet_5(images: tf.Tensor, weights: Weights) -> tf.Tensor:
    """Digits [n, 28, 28, 1] from 0 to 1 -> logits [n, 10]."""
    x = convolution(convolution(images, weights, "conv1"), weights, "conv2")
    x = tf.reshape(x, [-1, 800], name="flatten")
    x = tf.nn.relu(dense(x, weights, "fc1"), name="fc1/Relu")
    return dense(x, weights, "fc2")


NETWORKS: dict[str, tuple[Callable[[tf.Tensor, Weights], tf.Tensor], dict[str, tuple[int, ...]], int]] = {
    "lenet-300-100": (lenet_300_100, {"fc1": (784, 300), "fc2": (300, 100), "fc3": (100, 10)}, 30),
    "lenet-5": (lenet_5, {"conv1": (5, 5, 1, 20), "conv2": (5, 5, 20, 50), "fc1": (800, 500), "fc2": (500, 10)}, 16),
}
"""Name -> the network, its kernels' shapes, and how many epochs it is trained."""


def read_pictures(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 28, 28] uint8 and labels [n] uint8 of ``train`` or ``t10k``."""
    images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28), np.frombuffer(labels, np.uint8, offset=8)


def write_pictures(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """The first test pictures, in the format of the whole set; without a time stamp, so that their bytes stay."""
    for kind, magic, values in (("images-idx3", 0x803, images[:SHIPPED]), ("labels-idx1", 0x801, labels[:SHIPPED])):
        head = np.array([magic, *values.shape], ">i4").tobytes()
        packed = gzip.compress(head + values.tobytes(), mtime=0)
        (folder / f"t10k-{SHIPPED}-{kind}-ubyte.gz").write_bytes(packed)


def train(name: str, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Kernels and biases after training with Adam, each digit shifted by up to one pixel at random in every epoch."""
    network, shapes, epochs = NETWORKS[name]
    tf.keras.utils.set_random_seed(1)
    he_normal = tf.keras.initializers.HeNormal(seed=1)
    weights: Weights = {f"{layer}/kernel": tf.Variable(he_normal(shape)) for layer, shape in shapes.items()}
    weights |= {f"{layer}/bias": tf.Variable(tf.zeros(shape[-1])) for layer, shape in shapes.items()}
    variables = list(weights.values())
    steps = len(images) // BATCH
    rate = tf.keras.optimizers.schedules.CosineDecay(1e-3, epochs * steps)
    optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=1e-3)
    optimizer.build(variables)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            x = tf.cast(x[..., tf.newaxis], tf.float32) / 255
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y, tf.int32), network(x, weights))
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    random = np.random.default_rng(1)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    shifted = np.lib.stride_tricks.sliding_window_view(padded, (28, 28), axis=(1, 2))
    for epoch in range(epochs):
        start = time.perf_counter()
        losses = []
        for chosen in random.permutation(len(images))[: steps * BATCH].reshape(steps, BATCH):
            down, right = random.integers(0, 3, (2, BATCH))
            losses.append(step(shifted[chosen, down, right], labels[chosen]))
        seconds = time.perf_counter() - start
        print(f"{name} epoch {epoch + 1:2}/{epochs}  loss {np.mean(losses):.4f}  {seconds:.1f} s", flush=True)
    return {key: value.numpy() for key, value in weights.items()}


def freeze(name: str, weights: dict[str, np.ndarray]) -> tf.compat.v1.GraphDef:
    """The network as a graph from ``input`` to ``output`` (softmax) whose weights are constants."""
    network, _, _ = NETWORKS[name]
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, 28, 28, 1], name="input")
        logits = network(images, {key: tf.constant(value, name=key) for key, value in weights.items()})
        tf.nn.softmax(logits, name="output")
    return graph.as_graph_def()


def wrong(frozen: tf.compat.v1.GraphDef, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which pictures [n] the frozen graph gets wrong."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen, name="")
    found = []
    with tf.compat.v1.Session(graph=graph) as session:
        for start in range(0, len(images), 500):
            batch = images[start : start + 500, ..., np.newaxis].astype(np.float32) / 255
            found.append(session.run("output:0", {"input:0": batch}).argmax(axis=1))
    return np.concatenate(found) != labels


def finish(name: str, folder: Path, frozen: tf.compat.v1.GraphDef, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a frozen graph, and print its errors on the test pictures and on those that are shipped."""
    path = folder / f"{name}.pb"
    path.write_bytes(frozen.SerializeToString(deterministic=True))
    mistakes = wrong(frozen, images, labels)
    errors = f"{mistakes.mean():.2%} of {len(mistakes):,}, {mistakes[:SHIPPED].mean():.2%} of {SHIPPED:,}"
    print(f"{name}: {errors} test pictures wrong, {path.stat().st_size:,} bytes", flush=True)


def main() -> None:
    """Train both networks, or only one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=NETWORKS, help="train this one alone")
    parser.add_argument("--mnist", type=Path, default=SAMPLES.parents[2] / "shared" / "mnist", help="the IDX files")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    test_images, test_labels = read_pictures(options.mnist, "t10k")
    write_pictures(SAMPLES, test_images, test_labels)
    for name in [options.only] if options.only else NETWORKS:
        frozen = freeze(name, train(name, *read_pictures(options.mnist, "train")))
        finish(name, SAMPLES, frozen, test_images, test_labels)


if __name__ == "__main__":
    main()
