"""Train two networks with batch normalisation on Fashion-MNIST and freeze them into ``resources/samples``.

    .venv/bin/python packaging/train_fashion.py [--only resnet-20] [--fashion ../shared/fashion]

``resnet-20`` has the shape that K. He et al. (Deep residual learning for image recognition, 2015) use for small
pictures: three stages of three blocks with 16, 32 and 64 channels, projections where the size changes.
``mobilenet-v2-small`` has the inverted residuals with linear ends of M. Sandler et al. (MobileNetV2, 2018), narrowed
for pictures of 28x28. Both are frozen with every batch normalisation still a ``FusedBatchNormV3`` behind its
convolution, as trained graphs come.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from train_samples import SAMPLES, finish, read_pictures, write_pictures

BATCH = 128
MARGIN = 2
"""By how many pixels a picture is shifted at most."""

EPSILON = 1e-3
MOMENTUM = 0.95
"""How much of the moving mean and variance is kept at each step of training."""


class Network:
    """The operations of a network, over weights that are made when first asked for.

    While ``training``, batch normalisation uses the batch's own mean and variance and moves the stored ones after them;
    otherwise it is a ``FusedBatchNormV3`` over the stored ones. ``frozen`` weights (arrays) become constants.
    """

    def __init__(self, frozen: dict[str, np.ndarray] | None = None) -> None:
        self.frozen = frozen
        self.weights: dict[str, tf.Variable] = {}
        self.training = False
        self.random = tf.keras.initializers.HeNormal(seed=1)

    def weight(self, name: str, value: Callable[[], tf.Tensor], trainable: bool = True) -> tf.Tensor | tf.Variable:
        """The weight of this name; ``value`` makes it at first."""
        if self.frozen is not None:
            return tf.constant(self.frozen[name], name=name)
        if name not in self.weights:
            with tf.init_scope():
                self.weights[name] = tf.Variable(value(), trainable=trainable, name=name)
        return self.weights[name]

    def batch_norm(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """[n, h, w, c] -> the same, normalised over n, h and w."""
        size = x.shape[-1]
        scale = self.weight(f"{name}/gamma", lambda: tf.ones(size))
        offset = self.weight(f"{name}/beta", lambda: tf.zeros(size))
        mean = self.weight(f"{name}/moving_mean", lambda: tf.zeros(size), trainable=False)
        variance = self.weight(f"{name}/moving_variance", lambda: tf.ones(size), trainable=False)
        if not self.training:
            return tf.compat.v1.nn.fused_batch_norm(
                x, scale, offset, mean, variance, EPSILON, is_training=False, name=f"{name}/FusedBatchNormV3"
            )[0]
        y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(x, scale, offset, epsilon=EPSILON)
        mean.assign(MOMENTUM * mean + (1 - MOMENTUM) * batch_mean)
        variance.assign(MOMENTUM * variance + (1 - MOMENTUM) * batch_variance)
        return y

    def convolution(self, x: tf.Tensor, filters: int, size: int, strides: int, name: str) -> tf.Tensor:
        """Convolution without bias and its batch normalisation: [n, h, w, c] -> [n, h/strides, w/strides, filters]."""
        shape = (size, size, x.shape[-1], filters)
        kernel = self.weight(f"{name}/kernel", lambda: self.random(shape))
        return self.batch_norm(tf.nn.conv2d(x, kernel, strides, "SAME", name=f"{name}/Conv2D"), f"{name}/bn")

    def depthwise(self, x: tf.Tensor, strides: int, name: str) -> tf.Tensor:
        """A 3x3 convolution of each channel with itself, and its batch normalisation."""
        shape = (3, 3, x.shape[-1], 1)
        # He's deviation counts the inputs of one output: 9 here, whatever the number of channels.
        kernel = self.weight(
            f"{name}/depthwise_kernel",
            lambda: tf.random.stateless_normal(shape, (1, len(self.weights))) * (2 / 9) ** 0.5,
        )
        x = tf.nn.depthwise_conv2d(x, kernel, [1, strides, strides, 1], "SAME", name=f"{name}/depthwise")
        return self.batch_norm(x, f"{name}/bn")

    def classifier(self, x: tf.Tensor) -> tf.Tensor:
        """The mean over the picture and a fully connected layer: [n, h, w, c] -> logits [n, 10]."""
        x = tf.reduce_mean(x, [1, 2], name="pool/Mean")
        shape = (x.shape[-1], 10)
        kernel = self.weight("logits/kernel", lambda: self.random(shape))
        x = tf.linalg.matmul(x, kernel, name="logits/MatMul")
        return tf.nn.bias_add(x, self.weight("logits/bias", lambda: tf.zeros(10)), name="logits/BiasAdd")


def resnet_20(network: Network, x: tf.Tensor) -> tf.Tensor:
    """Pictures [n, 28, 28, 1] from 0 to 1 -> logits [n, 10]."""
    x = tf.nn.relu(network.convolution(x, 16, 3, 1, "stem"), name="stem/Relu")
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range(1, 4):
            name = f"stage{stage}/block{block}"
            strides = 2 if stage > 1 and block == 1 else 1
            y = tf.nn.relu(network.convolution(x, filters, 3, strides, f"{name}/conv1"), name=f"{name}/conv1/Relu")
            y = network.convolution(y, filters, 3, 1, f"{name}/conv2")
            if strides > 1:
                x = network.convolution(x, filters, 1, strides, f"{name}/shortcut")
            x = tf.nn.relu(tf.add(y, x, name=f"{name}/add"), name=f"{name}/Relu")
    return network.classifier(x)


INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 40, 3, 2), (6, 64, 2, 1))
"""Of each stage: how much its blocks widen, its channels, its blocks, the strides of the first."""


def mobilenet_v2_small(network: Network, x: tf.Tensor) -> tf.Tensor:
    """Pictures [n, 28, 28, 1] from 0 to 1 -> logits [n, 10]."""
    x = tf.nn.relu6(network.convolution(x, 16, 3, 1, "stem"), name="stem/Relu6")
    for stage, (wider, filters, blocks, first) in enumerate(INVERTED, start=1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}/block{block}"
            strides, inside, y = (first if block == 1 else 1), x.shape[-1] * wider, x
            if wider > 1:
                y = tf.nn.relu6(network.convolution(y, inside, 1, 1, f"{name}/expand"), name=f"{name}/expand/Relu6")
            y = tf.nn.relu6(network.depthwise(y, strides, f"{name}/depthwise"), name=f"{name}/depthwise/Relu6")
            y = network.convolution(y, filters, 1, 1, f"{name}/project")
            x = tf.add(x, y, name=f"{name}/add") if strides == 1 and x.shape[-1] == filters else y
    x = tf.nn.relu6(network.convolution(x, 256, 1, 1, "head"), name="head/Relu6")
    return network.classifier(x)


NETWORKS: dict[str, tuple[Callable[[Network, tf.Tensor], tf.Tensor], int]] = {
    "resnet-20": (resnet_20, 12),
    "mobilenet-v2-small": (mobilenet_v2_small, 8),
}
"""Name -> the network, and how many epochs it is trained."""


def pictures(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A batch [n, 28 + 2 MARGIN, 28 + 2 MARGIN] -> [n, 28, 28], each picture shifted and perhaps mirrored."""
    down, right = random.integers(0, 2 * MARGIN + 1, (2, len(images)))
    windows = np.lib.stride_tricks.sliding_window_view(images, (28, 28), axis=(1, 2))
    chosen = windows[np.arange(len(images)), down, right]
    mirrored = random.random(len(images)) < 0.5
    chosen = chosen.copy()
    chosen[mirrored] = chosen[mirrored, :, ::-1]
    return chosen


def train(name: str, images: np.ndarray, labels: np.ndarray, epochs: int) -> dict[str, np.ndarray]:
    """All weights by name, after training by gradient descent with momentum, its rate rising and falling once."""
    tf.keras.utils.set_random_seed(1)
    network, steps = Network(), len(images) // BATCH
    layers, _ = NETWORKS[name]
    layers(network, tf.zeros([1, 28, 28, 1]))
    variables = [weight for weight in network.weights.values() if weight.trainable]
    network.training = True
    rate = tf.keras.optimizers.schedules.CosineDecay(
        0.01, (epochs - 1) * steps, alpha=0.002, warmup_target=0.2, warmup_steps=steps
    )
    optimizer = tf.keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    optimizer.build(variables)
    decayed = [weight for weight in variables if weight.name.startswith("logits") or "kernel" in weight.name]

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = layers(network, tf.cast(x[..., tf.newaxis], tf.float32) / 255)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y, tf.int32), logits))
            total = loss + 5e-4 * tf.add_n([tf.nn.l2_loss(weight) for weight in decayed])
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        return loss

    random = np.random.default_rng(1)
    padded = np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
    for epoch in range(epochs):
        start = time.perf_counter()
        order = random.permutation(len(images))[: steps * BATCH].reshape(steps, BATCH)
        losses = [step(pictures(padded[chosen], random), labels[chosen]) for chosen in order]
        seconds = time.perf_counter() - start
        print(f"{name} epoch {epoch + 1:2}/{epochs}  loss {np.mean(losses):.4f}  {seconds:.1f} s", flush=True)
    return {key: value.numpy() for key, value in network.weights.items()}


def freeze(name: str, weights: dict[str, np.ndarray]) -> tf.compat.v1.GraphDef:
    """The network as a graph from ``input`` to ``output`` (softmax) whose weights are constants, and nothing else: the
    depthwise convolutions leave constants behind that nobody reads."""
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, 28, 28, 1], name="input")
        tf.nn.softmax(NETWORKS[name][0](Network(weights), images), name="output")
    return tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ["output"])


def main() -> None:
    """Train both networks, or only one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=NETWORKS, help="train this one alone")
    parser.add_argument("--epochs", type=int, help="instead of each network's own number")
    parser.add_argument("--fashion", type=Path, default=SAMPLES.parents[2] / "shared" / "fashion", help="the IDX files")
    parser.add_argument("-o", "--output", type=Path, default=SAMPLES, help="the folder of the frozen graphs")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    test_images, test_labels = read_pictures(options.fashion, "t10k")
    pictures_folder = options.output / "fashion"
    pictures_folder.mkdir(parents=True, exist_ok=True)
    write_pictures(pictures_folder, test_images, test_labels)
    for name in [options.only] if options.only else NETWORKS:
        epochs = options.epochs or NETWORKS[name][1]
        weights = train(name, *read_pictures(options.fashion, "train"), epochs)
        finish(name, options.output, freeze(name, weights), test_images, test_labels)


if __name__ == "__main__":
    main()
