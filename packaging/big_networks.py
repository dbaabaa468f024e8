"""The large networks of the literature on pruning, with weights of the right shapes and random values.

AlexNet (two groups in conv2, 4 and 5, as trained on two processors), VGG-16, GoogLeNet (without the auxiliary heads),
SqueezeNet 1.0 and ResNet-50 (batch norms folded): from ``input`` (pictures of 224x224, AlexNet's 227x227) to ``output``
(softmax over 1,000 classes). Trained weights are not free to be shipped, and what is measured on these here, bytes and
times, does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.network_builder import NetworkBuilder
from compressor_gui.core.values import DType


def _halves(net: NetworkBuilder, x: str, name: str, filters: int, kernel: int) -> str:
    """A convolution in two groups."""
    height, width, channels = net.shapes[x]
    axis = net.constant(f"{name}/axis", 3, DType.INT32)
    split = net.add(f"{name}/split", "Split", [axis, x], (height, width, channels // 2), num_split=2)
    net.shapes[f"{split}:1"] = net.shapes[split]
    parts = [net.conv(port, f"{name}/group{at}", filters // 2, kernel) for at, port in enumerate((split, f"{split}:1"))]
    return net.concat(parts, f"{name}/concat")


def _lrn(net: NetworkBuilder, x: str, name: str) -> str:
    """Normalisation over five channels."""
    return net.add(name, "LRN", [x], net.shapes[x], depth_radius=2, bias=1.0, alpha=2e-5, beta=0.75)


def alexnet() -> ModelGraph:
    """A. Krizhevsky et al., 2012, in Caffe's form."""
    net = NetworkBuilder.of_pictures(227)
    x = net.pool(_lrn(net, net.conv("input", "conv1", 96, 11, 4, "VALID"), "norm1"), "pool1")
    x = net.pool(_lrn(net, _halves(net, x, "conv2", 256, 5), "norm2"), "pool2")
    x = _halves(net, net.conv(x, "conv3", 384, 3), "conv4", 384, 3)
    x = net.flatten(net.pool(_halves(net, x, "conv5", 256, 3), "pool5"))
    return net.build(net.dense(net.dense(net.dense(x, "fc1", 4096), "fc2", 4096), "fc3", 1000, relu=False))


def vgg_16() -> ModelGraph:
    """K. Simonyan and A. Zisserman, 2014, configuration D."""
    net, x = NetworkBuilder.of_pictures(224), "input"
    for stage, (filters, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for layer in range(1, count + 1):
            x = net.conv(x, f"conv{stage}_{layer}", filters, 3)
        x = net.pool(x, f"pool{stage}", 2)
    x = net.flatten(x)
    return net.build(net.dense(net.dense(net.dense(x, "fc6", 4096), "fc7", 4096), "fc8", 1000, relu=False))


_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
"""Filters of the 1x1, the reduction before the 3x3, the 3x3, that before the 5x5, the 5x5, and behind the pool."""


def googlenet() -> ModelGraph:
    """C. Szegedy et al., 2014."""
    net = NetworkBuilder.of_pictures(224)
    x = _lrn(net, net.pool(net.conv("input", "conv1", 64, 7, 2), "pool1", padding="SAME"), "norm1")
    x = _lrn(net, net.conv(net.conv(x, "conv2_reduce", 64, 1), "conv2", 192, 3), "norm2")
    x = net.pool(x, "pool2", padding="SAME")
    for name, (one, three_in, three, five_in, five, pooled) in _INCEPTIONS.items():
        scope = f"inception_{name}"
        parts = [
            net.conv(x, f"{scope}/1x1", one, 1),
            net.conv(net.conv(x, f"{scope}/3x3_reduce", three_in, 1), f"{scope}/3x3", three, 3),
            net.conv(net.conv(x, f"{scope}/5x5_reduce", five_in, 1), f"{scope}/5x5", five, 5),
            net.conv(net.pool(x, f"{scope}/pool", 3, 1, "SAME"), f"{scope}/pool_proj", pooled, 1),
        ]
        x = net.concat(parts, f"{scope}/output")
        if name in ("3b", "4e"):
            x = net.pool(x, f"pool{name[0]}", padding="SAME")
    return net.build(net.dense(net.mean(x), "loss3/classifier", 1000, relu=False))


def squeezenet() -> ModelGraph:
    """F. Iandola et al., 2016, version 1.0."""
    net = NetworkBuilder.of_pictures(224)
    x = net.pool(net.conv("input", "conv1", 96, 7, 2, "VALID"), "pool1")
    for fire, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)), start=2
    ):
        x = net.conv(x, f"fire{fire}/squeeze1x1", squeeze, 1)
        parts = [net.conv(x, f"fire{fire}/expand{size}x{size}", expand, size) for size in (1, 3)]
        x = net.concat(parts, f"fire{fire}/concat")
        if fire in (4, 8):
            x = net.pool(x, f"pool{fire}")
    return net.build(net.mean(net.conv(x, "conv10", 1000, 1)))


def resnet_50() -> ModelGraph:
    """K. He et al., 2015, batch norms folded into weights and biases."""
    net = NetworkBuilder.of_pictures(224)
    x = net.pool(net.conv("input", "conv1", 64, 7, 2), "pool1", padding="SAME")
    for stage, (filters, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=2):
        for block in range(count):
            name, stride = f"res{stage}{'abcdef'[block]}", 2 if block == 0 and stage > 2 else 1
            y = net.conv(x, f"{name}_branch2a", filters, 1, stride)
            y = net.conv(net.conv(y, f"{name}_branch2b", filters, 3), f"{name}_branch2c", 4 * filters, 1, relu=False)
            if block == 0:
                x = net.conv(x, f"{name}_branch1", 4 * filters, 1, stride, relu=False)
            x = net.relu(net.add(f"{name}/add", "AddV2", [y, x], net.shapes[y]), f"{name}/Relu")
    return net.build(net.dense(net.mean(x), "fc1000", 1000, relu=False))


NETWORKS: dict[str, Callable[[], ModelGraph]] = {
    "alexnet": alexnet,
    "vgg-16": vgg_16,
    "googlenet": googlenet,
    "squeezenet": squeezenet,
    "resnet-50": resnet_50,
}
