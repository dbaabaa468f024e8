"""What a box of the picture says: the family of its operation, its name without repetitions, what tells it apart."""

from __future__ import annotations

from compressor_gui.core import units
from compressor_gui.core.graph import ModelGraph, Node

WEIGHTED = {
    "Conv2D": "convolution", "DepthwiseConv2dNative": "convolution", "Conv2DBackpropInput": "convolution",
    "Conv3D": "convolution", "Conv3DBackpropInputV2": "convolution", "_FusedConv2D": "convolution",
    "MatMul": "matmul", "BatchMatMul": "matmul", "BatchMatMulV2": "matmul", "Einsum": "matmul",
    "_FusedMatMul": "matmul",
}  # fmt: skip
ACTIVATIONS = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign"}
_FAMILIES = {
    **WEIGHTED,
    **dict.fromkeys(ACTIVATIONS | {"Softmax", "LogSoftmax", "Erf"}, "activation"),
    **dict.fromkeys(
        ["MaxPool", "MaxPoolV2", "AvgPool", "MaxPool3D", "AvgPool3D", "Mean", "Max", "ResizeBilinear",
         "ResizeNearestNeighbor"], "pool"),
    **dict.fromkeys(
        ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "BatchNormWithGlobalNormalization", "LRN"],
        "normalisation"),
}  # fmt: skip
_NORMS = {op for op, family in _FAMILIES.items() if family == "normalisation"}
AFFINE = {"BiasAdd", "Add", "AddV2", "Sub", "Mul", *_NORMS}
BRIEF = {
    "DepthwiseConv2dNative": "Depthwise", "BiasAdd": "Bias", "AddV2": "Add", "RequantizationRange": "Range",
    **dict.fromkeys(["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"], "BatchNorm"),
}  # fmt: skip
_SAYS_NOTHING = {
    *(op.lower() for op in _FAMILIES), "biasadd", "add", "addv2", "mul", "sub", "batchnorm", "conv",
    "depthwise", "fusedbatchnormv", "separable_conv2d", "relu", "conv2d", "conv3d", "conv2d_transpose", "identity",
    "readvariableop", "reshape",
}  # fmt: skip
_TITLE_LENGTH = 32


def family(op: str) -> str:
    """The op's family by the theme's names: convolution, matmul, activation, pool, normalisation, quantized, other."""
    if is_quantized(op):
        return "quantized"
    return _FAMILIES.get(op, "other")


def is_quantized(op: str) -> bool:
    """Whether the op computes on, makes or reads 8-bit tensors."""
    return op.startswith(("Quantize", "Requantiz", "_Quantized")) or op in ("Dequantize", "RequantizationRange")


def title(name: str, op: str, detail: str) -> str:
    """A name without the parts at its end that only repeat the op, and the detail; of a long one the end that fits."""
    # quantize_nodes names what it adds after the layer and the part played there, which the op says already.
    parts = name.partition("_eightbit_")[0].split("/")
    while len(parts) > 1 and parts[-1].rstrip("_0123456789").lower() in (_SAYS_NOTHING | {op.lower()}):
        parts.pop()
    behind = f" · {detail}" if detail else ""
    while len(parts) > 1 and len("/".join(parts)) + len(behind) > _TITLE_LENGTH:
        parts.pop(0)
    return "/".join(parts) + behind


def detail(node: Node, graph: ModelGraph) -> str:
    """What tells one such op from another: the kernel's shape, the pool's window, the constant's type and shape."""
    if node.op in WEIGHTED or node.op.startswith("Quantized"):
        index = 0 if node.op == "Conv2DBackpropInput" else 1
        weight = graph.constant(node, index)
        source = graph.producer(node, index)
        while weight is None and source is not None and source.op in ("Dequantize", "Cast", "Identity"):
            weight, source = graph.constant(source, 0), graph.producer(source, 0)
        return units.shape(weight.array.shape) if weight is not None and weight.array.ndim > 1 else ""
    if node.ints("ksize"):
        window, strides = node.ints("ksize"), node.ints("strides")
        start = 2 if node.text("data_format") == "NCHW" else 1
        steps = strides[start : start + 2]
        step = str(steps[0]) if len(set(steps)) == 1 else "×".join(map(str, steps))
        return f"{'×'.join(map(str, window[start : start + 2]))} / {step}"
    if node.op.startswith("Placeholder"):
        shape = node.shape()
        return str(shape) if shape is not None and shape.dims is not None else ""
    if node.op == "Const" and node.tensor is not None:
        return f"{node.tensor.dtype.label} {units.shape(node.tensor.array.shape)}"
    return ""
