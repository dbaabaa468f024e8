"""Weights that were computed elsewhere (by training, by rounding on data) as a step like any other: the recipe names
them by their SHA-256, :mod:`compressor_gui.core.weight_store` keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core import weight_store
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import CompressorError, PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.base import Pass, PassResult, param, result
from compressor_gui.core.passes.wording import did_you_mean
from compressor_gui.core.units import shape as shape_text
from compressor_gui.core.values import Tensor


@dataclass(frozen=True)
class Weights(Pass):
    """Replace constants by arrays of the same shape and type; those that are equal already stay as they are."""

    name: ClassVar[str] = "weights"
    title: ClassVar[str] = "Stored weights"
    summary: ClassVar[str] = "Put computed weights, of retraining for example, into the graph's constants."

    sha256: str = param(
        "", "text", "SHA-256", "Of the .npz with an array for each constant, among your weights.", required=True
    )
    by: str = param("", "text", "Made by", "How they were computed, for people to read.")

    def label(self) -> str:
        """A brief line for a recipe: who made them says more than their hash."""
        return f"{self.name}({self.by or self.sha256[:12]})"

    def run(self, graph: ModelGraph) -> PassResult:
        """Put them in. Raises PassError where they are missing, or don't fit the graph."""
        if not weight_store.is_key(self.sha256):
            hint = "64 hexadecimal digits; retraining adds this step by itself"
            raise PassError(f"{self.sha256[:80]!r} is no SHA-256", where=self.name, hint=hint)
        try:
            arrays = weight_store.load(self.sha256)
        except CompressorError as error:
            raise PassError(str(error), where=self.name) from None
        edit = Edit(graph)
        for name, array in arrays.items():
            tensor = self._fitting(graph, name, array)
            if tensor != graph[name].tensor:
                edit.replace(graph[name].with_(attrs={"value": tensor}))
        return result(edit)

    def _fitting(self, graph: ModelGraph, name: str, array: np.ndarray) -> Tensor:
        """The constant's new value. Raises PassError where there is no such constant, or it is another kind of one."""
        made_for = "these weights were made for another graph, or for an earlier step of the recipe"
        node: Node | None = graph.get(name)
        old = node.tensor if node is not None else None
        if old is None:
            constants = (node.name for node in graph.nodes if node.op == "Const")
            raise PassError(
                f"there is no constant {name!r}", where=self.name, hint=did_you_mean(name, constants, made_for)
            )
        if (old.array.shape, old.array.dtype) != (array.shape, array.dtype):
            has = f"{old.array.dtype} {shape_text(old.array.shape)}"
            raise PassError(
                f"{name!r} is {has}, and the stored weights are {array.dtype} {shape_text(array.shape)}",
                where=self.name,
                hint=made_for,
            )
        return Tensor(old.dtype, array)
