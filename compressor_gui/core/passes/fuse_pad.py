"""Zero padding goes into the convolution behind it, whose attribute says it from then on.

The Graph Transform Tool's ``fuse_pad_and_conv`` and ``fuse_resize_pad_and_conv`` take MirrorPad into FusedPadConv2D and
FusedResizeAndPadConv2D instead: kernels for the CPU that copy patches, know no oneDNN and no eight bits, and that
nothing else in TensorFlow optimises. A plain Conv2D with ``explicit_paddings`` stays what every tool knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.evaluate import constant_values
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.base import Pass, PassResult, param, result
from compressor_gui.core.passes.padding import CONVOLUTIONS, padding_attrs, padding_of, space, windows
from compressor_gui.core.passes.unread import remove_unread
from compressor_gui.core.passes.wording import some
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import Attr


@dataclass(frozen=True)
class FusePad(Pass):
    """Pad and PadV2 with zeros in height and width, in front of Conv2D or DepthwiseConv2dNative.

    The result is padding SAME where that adds the same zeros, else EXPLICIT.
    """

    name: ClassVar[str] = "fuse_pad"
    title: ClassVar[str] = "Fuse padding"
    summary: ClassVar[str] = "Works zero padding into the convolution behind it, which saves a copy of the activations."

    explicit: bool = param(
        True,
        "flag",
        "Explicit padding",
        "Off: only where SAME or VALID say it; the classic 8-bit kernels know no explicit padding.",
    )

    def run(self, graph: ModelGraph) -> PassResult:
        """A Pad goes when nothing but convolutions that took it over has read it."""
        known = constant_values(graph, 0)
        edit = Edit(graph)
        kept: dict[str, list[str]] = {}
        fused: dict[str, None] = {}
        for conv in graph.nodes:
            pad = graph.producer(conv, 0) if conv.op in CONVOLUTIONS and len(conv.data_refs) == 2 else None
            if pad is None or pad.op not in ("Pad", "PadV2"):
                continue
            inputs = [known.get(ref.name) for ref in pad.data_refs[1:]]
            attrs = self._attrs(graph, conv, pad, [value.tensor.array for value in inputs if value is not None])
            if isinstance(attrs, str):
                kept.setdefault(attrs, []).append(pad.name)
                continue
            control = dict.fromkeys(text for node in (conv, pad) for text in node.inputs if text.startswith("^"))
            edit.replace(
                conv.with_(inputs=[pad.inputs[0], conv.inputs[1], *control], attrs=attrs), [conv.name, pad.name]
            )
            fused[pad.name] = None
        remove_unread(edit, fused, "the convolutions behind it add its zeros")
        notes = [f"{some(list(dict.fromkeys(names)))} kept: {reason}." for reason, names in kept.items()]
        return result(edit, notes)

    def _attrs(
        self, graph: ModelGraph, conv: Node, pad: Node, arrays: Sequence[np.ndarray]
    ) -> dict[str, Attr | None] | str:
        """The attributes of the convolution that adds the zeros itself, or why it can't.

        ``arrays``: what is known of the inputs of ``pad`` behind the first one.
        """
        if len(arrays) < len(pad.data_refs) - 1 or arrays[0].shape != (4, 2):
            return "how much it adds is computed, or not known for four dimensions"
        if len(arrays) > 1 and np.any(arrays[1]):
            return "it adds other values than zeros"
        amounts = [(int(low), int(high)) for low, high in arrays[0]]
        axes = space(conv)
        if any(amounts[axis] != (0, 0) for axis in range(4) if axis not in axes) or min(map(min, amounts)) < 0:
            return "it pads the batch or the channels"
        shapes = infer_shapes(graph).get(conv.data_refs[1].name, ())
        found = windows(conv, (shapes[conv.data_refs[1].port].dims if shapes else None) or ())
        own = padding_of(conv, found) if found and min(window.reach for window in found) > 0 else None
        if found is None or own is None:
            return "what the convolution itself pads depends on the size of its input"
        rows, columns = (
            (amounts[axis][0] + low, amounts[axis][1] + high) for axis, (low, high) in zip(axes, own, strict=True)
        )
        attrs = padding_attrs(graph, str(pad.data_refs[0]), conv, found, (rows, columns))
        if attrs["padding"] == b"EXPLICIT" and not self.explicit:
            return "only explicit padding says what it adds"
        return attrs
