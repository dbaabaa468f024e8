"""Whole output channels taken out, so that the file is smaller and stock TensorFlow faster, without sparse kernels.

Which channels are least is told by the norm of their filters (H. Li et al., "Pruning filters for efficient convnets",
ICLR 2017); what goes with them is found by :mod:`..channels`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.channels import Channels, find_channels
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes.base import Amounts, Names, Pass, PassResult, param, result
from compressor_gui.core.passes.wording import did_you_mean, some
from compressor_gui.core.values import Tensor


@dataclass(frozen=True)
class RemoveChannels(Pass):
    """Take the least output channels out of convolutions and fully connected layers.

    With a channel go its bias and batch norm, its entries in the weights of all layers that read it (flattened too),
    its depthwise filter, its partners in residual sums, and its place in concatenations and stated shapes. Layers that
    share channels this way are a group, and lose the same ones. Channels that something needs all of (an output, a
    Softmax, an operation that is not known) stay. What the network computes changes: train again.
    """

    name: ClassVar[str] = "remove_channels"
    title: ClassVar[str] = "Remove channels"
    summary: ClassVar[str] = "Takes whole output channels out of all layers that share them: smaller and faster."

    share: float = param(
        0.0, "number", "Share", "Of each layer's channels, how many are taken out.", minimum=0, maximum=0.99, start=0.25
    )
    layers: Amounts = param(
        (), "amounts", "Share by layer", "A layer's own share; its group follows.", minimum=0, maximum=0.99
    )
    criterion: str = param(
        "l2",
        "choice",
        "Criterion",
        "Which go first: those of the least sum of magnitudes (l1) or of squares (l2); or any (the control).",
        choices=("l1", "l2", "random"),
    )
    scope: str = param(
        "layer",
        "choice",
        "Scope",
        "layer: the share of each group; global: of all, the least first, each measured by its layer's mean.",
        choices=("layer", "global"),
    )
    multiple: int = param(
        1, "integer", "Multiple of", "So many channels, or a multiple, are left in a group.", minimum=1, maximum=64
    )
    skip: Names = param((), "names", "Skip", "Layers whose groups keep all their channels.")
    seed: int = param(0, "integer", "Seed", "Of the random choice.", minimum=0)

    def run(self, graph: ModelGraph) -> PassResult:
        """The smaller graph. Raises PassError where nothing is asked, or a layer is named that does not exist."""
        channels = find_channels(graph)
        groups, amounts, gone = self._choose(graph, channels)
        edit = Edit(graph)
        if gone.any():
            _cut(channels, edit, gone)
        return result(edit, _notes(channels, groups, amounts, gone))

    def chosen_channels(self, graph: ModelGraph) -> dict[str, tuple[int, ...]]:
        """Layer operation -> the output channels that it would lose. Raises PassError as :meth:`run` does."""
        channels = find_channels(graph)
        gone = self._choose(graph, channels)[2]
        return {layer: tuple(np.flatnonzero(gone[ids]).tolist()) for layer, ids in channels.made.items()}

    def _choose(self, graph: ModelGraph, channels: Channels) -> tuple[list[_Group], dict[str, float], np.ndarray]:
        """The groups, the shares by operation, and for every class whether it goes."""
        if not self.share and not self.layers:
            raise PassError("no channel is to go", where=self.name, hint="give a share, of all layers or by layer")
        amounts, skipped = self._by_operation(graph)
        groups = [_Group.of(graph, channels, group, self) for group in channels.groups()]
        told = [self._share(group, amounts, skipped) for group in groups]
        classes: set[int] = set()
        common = [group for group, share in zip(groups, told, strict=True) if share is None]
        for together in [common] if self.scope == "global" else [[group] for group in common]:
            classes |= _least(together, self.share, self.multiple)
        for group, share in zip(groups, told, strict=True):
            if share is not None:
                classes |= _least([group], share, self.multiple)
        gone = np.zeros(channels.count, bool)
        gone[sorted(classes)] = True
        return groups, amounts, gone

    def _by_operation(self, graph: ModelGraph) -> tuple[dict[str, float], set[str]]:
        """The shares and the skipped layers, by the layers' operations."""
        known = {name: layer.users for layer in find_layers(graph) for name in layer.names}
        for name in (*dict(self.layers), *self.skip):
            if name not in known:
                hint = did_you_mean(name, known, "name an operation or its weight constant")
                raise PassError(f"there is no layer {name!r}", where=self.name, hint=hint)
        amounts = {user: share for name, share in self.layers for user in known[name]}
        return amounts, {user for name in self.skip for user in known[name]}

    def _share(self, group: _Group, amounts: dict[str, float], skipped: set[str]) -> float | None:
        """What a group is told by name: None where nothing is."""
        if skipped & set(group.layers):
            return 0.0
        told = {layer: amounts[layer] for layer in group.layers if layer in amounts}
        if len(set(told.values())) > 1:
            (first, one), (second, other) = list(told.items())[:2]
            words = f"{first!r} ({one:g}) and {second!r} ({other:g}) share their channels"
            raise PassError(words, where=self.name, hint="give them the same share, or only one of them")
        return next(iter(told.values()), None)


@dataclass(frozen=True, eq=False)
class _Group:
    """Layers that share channels: of each, the classes in order. ``scores``: class that may go -> its importance, 1
    being a layer's mean."""

    layers: tuple[str, ...]
    made: tuple[np.ndarray, ...]
    scores: dict[int, float]

    @staticmethod
    def of(graph: ModelGraph, channels: Channels, layers: tuple[str, ...], transform: RemoveChannels) -> _Group:
        made = tuple(channels.made[layer] for layer in layers)
        found: dict[int, list[float]] = {}
        for layer, ids in zip(layers, made, strict=True):
            weight, axis = channels.weights[layer]
            for one, score in zip(ids.tolist(), _norms(graph[weight], axis, transform.criterion), strict=True):
                if one not in channels.reasons:
                    found.setdefault(one, []).append(score)
        scores = {one: sum(values) / len(values) for one, values in found.items()}
        if transform.criterion == "random":
            order = np.random.default_rng([transform.seed, *sorted(scores)[:1]]).permutation(len(scores))
            scores = {one: float(place) for one, place in zip(sorted(scores), order, strict=True)}
        return _Group(layers, made, scores)


def _norms(weight: Node, axis: int, criterion: str) -> list[float]:
    """The norm of each channel's weights, over their mean."""
    assert weight.tensor is not None
    values = np.abs(np.moveaxis(weight.tensor.array, axis, 0).astype(np.float64))
    flat = values.reshape(len(values), -1)
    norms = flat.sum(axis=1) if criterion == "l1" else np.sqrt(np.square(flat).sum(axis=1))
    return [float(norm) for norm in norms / (norms.mean() or 1.0)]


def _least(groups: list[_Group], share: float, multiple: int) -> set[int]:
    """The classes that go when ``share`` of those of all ``groups`` shall; every layer keeps one at least."""
    ranked = sorted((score, one, at) for at, group in enumerate(groups) for one, score in group.scores.items())
    wanted = [one for _, one, _ in ranked[: math.floor(share * len(ranked) + 1e-9)]]
    gone: set[int] = set()
    for group in groups:
        mine = [one for one in wanted if one in group.scores]
        classes = len({one for ids in group.made for one in ids.tolist()})
        left = -(-(classes - len(mine)) // multiple) * multiple
        mine = mine[: max(classes - left, 0)]
        counts = [len(ids) for ids in group.made]
        for one in mine:
            after = [count - int((ids == one).sum()) for count, ids in zip(counts, group.made, strict=True)]
            if min(after) > 0:
                counts = after
                gone.add(one)
    return gone


def _cut(channels: Channels, edit: Edit, gone: np.ndarray) -> None:
    """Take the classes out of every constant and stated shape."""
    for (name, axis), ids in channels.held.items():
        keep = np.flatnonzero(~gone[ids])
        if len(keep) < len(ids):
            tensor = edit[name].tensor
            assert tensor is not None
            smaller = np.ascontiguousarray(np.take(tensor.array, keep, axis=axis))
            edit.replace(edit[name].with_(attrs={"value": Tensor(tensor.dtype, smaller), "_output_shapes": None}))
    for name, found in channels.outputs.items():
        lost = int(np.count_nonzero(gone[found.ids]))
        if not lost:
            continue
        node = edit[name]
        if name in channels.reshapes:
            node = _restated(edit, node, channels.reshapes[name], len(found.ids) - lost)
        if "_output_shapes" in node.attrs:
            node = node.with_(attrs={"_output_shapes": None})
        edit.replace(node)


def _restated(edit: Edit, node: Node, axis: int, count: int) -> Node:
    """``node``, told a shape that has ``count`` along ``axis``; a shape that others read too is copied for it."""
    index = 0 if node.op == "Conv2DBackpropInput" else 1
    told = edit[node.data_refs[index].name]
    assert told.tensor is not None
    shape = np.array(told.tensor.array)
    shape[axis] = count
    tensor = Tensor(told.tensor.dtype, shape)
    if len(edit.graph.consumers[told.name]) == 1:
        edit.replace(told.with_(attrs={"value": tensor}))
        return node
    made = Node.const(edit.free_name(f"{node.name}/kept_shape"), tensor, node.device)
    edit.add(made.with_(inputs=[text for text in told.inputs if text.startswith("^")]), [told.name], before=node.name)
    return node.with_(inputs=[made.name if at == index else text for at, text in enumerate(node.inputs)])


def _notes(channels: Channels, groups: list[_Group], amounts: dict[str, float], gone: np.ndarray) -> Iterable[str]:
    if not groups:
        yield "No layer has channels that can be followed; weights have to be constants, and floats."
        return
    before = sum(len(ids) for ids in channels.made.values())
    after = before - sum(int(np.count_nonzero(gone[ids])) for ids in channels.made.values())
    yield f"{after:,} of {before:,} output channels are left."
    kept: dict[str, list[str]] = {}
    for layer, ids in channels.made.items():
        reason = next((channels.reasons[one] for one in ids.tolist() if one in channels.reasons), None)
        if reason is not None:
            kept.setdefault(reason, []).append(layer)
    for reason, layers in kept.items():
        yield f"Kept, as {reason}: channels of {some(layers)}."
    missing = [layer for layer in amounts if layer not in channels.made]
    if missing:
        yield f"Not followed (not a Conv2D or MatMul with a constant weight of its own): {some(missing)}."
