"""Networks written down layer by layer, NHWC, with random weights that keep the variance (He et al., 2015)."""

from __future__ import annotations

import numpy as np

from compressor_gui.core.graph import Attrs, ModelGraph, Node
from compressor_gui.core.values import Attr, DType, Shape, Tensor


class NetworkBuilder:
    """Adds layers; every method returns the name of the last node, and ``shape`` is what it puts out."""

    def __init__(self, source: Node, shape: tuple[int, ...], seed: int = 0) -> None:
        """Begin at a placeholder that is fed pictures or vectors of ``shape``."""
        self.random = np.random.default_rng(seed)
        self.shapes: dict[str, tuple[int, ...]] = {source.name: shape}
        self.nodes = [source]

    @staticmethod
    def of_pictures(size: int, seed: int = 0) -> NetworkBuilder:
        """Begin at ``input``, pictures of ``size`` x ``size`` in colour."""
        shape = Shape((-1, size, size, 3))
        return NetworkBuilder(Node.make("input", "Placeholder", dtype=DType.FLOAT, shape=shape), (size, size, 3), seed)

    def add(self, name: str, op: str, inputs: list[str], shape: tuple[int, ...], **attrs: Attr) -> str:
        """Any operation; ``shape`` is what it puts out for one picture."""
        self.nodes.append(Node(name, op, tuple(inputs), Attrs({"T": DType.FLOAT, **attrs})))
        self.shapes[name] = shape
        return name

    def constant(self, name: str, values: object, dtype: DType = DType.FLOAT) -> str:
        """A Const."""
        self.nodes.append(Node.const(name, Tensor.of(values, dtype)))
        return name

    def weights(self, name: str, *shape: int) -> str:
        """Normal weights whose layer keeps the variance (He et al., 2015)."""
        values = self.random.standard_normal(shape, np.float32)
        values *= (2 / np.prod(shape[:-1])) ** 0.5
        return self.constant(name, values)

    def relu(self, x: str, name: str) -> str:
        """A ReLU."""
        return self.add(name, "Relu", [x], self.shapes[x])

    def conv(
        self, x: str, name: str, filters: int, kernel: int, stride: int = 1, padding: str = "SAME", relu: bool = True
    ) -> str:
        """A convolution with bias, and ReLU."""
        height, width, channels = self.shapes[x]
        reach = 0 if padding == "SAME" else kernel - 1
        shape = (-(-(height - reach) // stride), -(-(width - reach) // stride), filters)
        weights = self.weights(f"{name}/weights", kernel, kernel, channels, filters)
        x = self.add(name, "Conv2D", [x, weights], shape, strides=(1, stride, stride, 1), padding=padding.encode(),
                     data_format=b"NHWC", dilations=(1, 1, 1, 1))  # fmt: skip
        bias = self.constant(f"{name}/biases", np.zeros(filters, np.float32))
        x = self.add(f"{name}/BiasAdd", "BiasAdd", [x, bias], shape, data_format=b"NHWC")
        return self.relu(x, f"{name}/Relu") if relu else x

    def depthwise(self, x: str, name: str, stride: int = 1) -> str:
        """A 3x3 convolution of each channel with itself, bias, and ReLU."""
        height, width, channels = self.shapes[x]
        shape = (-(-height // stride), -(-width // stride), channels)
        values = self.random.standard_normal((3, 3, channels, 1), np.float32) * np.float32((2 / 9) ** 0.5)
        x = self.add(name, "DepthwiseConv2dNative", [x, self.constant(f"{name}/weights", values)], shape,
                     strides=(1, stride, stride, 1), padding=b"SAME", data_format=b"NHWC",
                     dilations=(1, 1, 1, 1))  # fmt: skip
        bias = self.constant(f"{name}/biases", np.zeros(channels, np.float32))
        return self.relu(self.add(f"{name}/BiasAdd", "BiasAdd", [x, bias], shape, data_format=b"NHWC"), f"{name}/Relu")

    def pool(
        self, x: str, name: str, kernel: int = 3, stride: int = 2, padding: str = "VALID", op: str = "MaxPool"
    ) -> str:
        """A pool."""
        height, width, channels = self.shapes[x]
        reach = 0 if padding == "SAME" else kernel - 1
        shape = (-(-(height - reach) // stride), -(-(width - reach) // stride), channels)
        window: dict[str, Attr] = {"ksize": (1, kernel, kernel, 1), "strides": (1, stride, stride, 1)}
        return self.add(name, op, [x], shape, padding=padding.encode(), data_format=b"NHWC", **window)

    def concat(self, parts: list[str], name: str) -> str:
        """A concatenation of the channels."""
        axis = self.constant(f"{name}/axis", 3, DType.INT32)
        height, width = self.shapes[parts[0]][:2]
        shape = (height, width, sum(self.shapes[part][2] for part in parts))
        return self.add(name, "ConcatV2", [*parts, axis], shape, N=len(parts), Tidx=DType.INT32)

    def mean(self, x: str) -> str:
        """The mean over the picture."""
        axes = self.constant("pool/axes", (1, 2), DType.INT32)
        return self.add("pool/Mean", "Mean", [x, axes], self.shapes[x][2:], keep_dims=False, Tidx=DType.INT32)

    def flatten(self, x: str) -> str:
        """A picture as a vector."""
        count = int(np.prod(self.shapes[x]))
        shape = self.constant("flatten/shape", (-1, count), DType.INT32)
        return self.add("flatten", "Reshape", [x, shape], (count,), Tshape=DType.INT32)

    def dense(self, x: str, name: str, units: int, relu: bool = True) -> str:
        """A fully connected layer with bias, and ReLU."""
        weights = self.weights(f"{name}/weights", self.shapes[x][0], units)
        x = self.add(name, "MatMul", [x, weights], (units,), transpose_a=False, transpose_b=False)
        bias = self.constant(f"{name}/biases", np.zeros(units, np.float32))
        x = self.add(f"{name}/BiasAdd", "BiasAdd", [x, bias], (units,), data_format=b"NHWC")
        return self.relu(x, f"{name}/Relu") if relu else x

    def build(self, x: str) -> ModelGraph:
        """The graph, with a softmax at its end."""
        return ModelGraph(self.nodes, outputs=(self.add("output", "Softmax", [x], self.shapes[x]),))
