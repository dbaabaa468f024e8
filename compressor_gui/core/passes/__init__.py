"""The passes: one transform a file; ``ALL`` is what the window, the command line and the help are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compressor_gui.core.errors import PassError
from compressor_gui.core.passes.base import Param, Pass, PassResult, apply, parse_call
from compressor_gui.core.passes.clip_outliers import ClipOutliers
from compressor_gui.core.passes.correct_biases import CorrectBiases
from compressor_gui.core.passes.equalize_layers import EqualizeLayers
from compressor_gui.core.passes.factorize import Factorize
from compressor_gui.core.passes.fake_quantize_concat import FakeQuantizeConcat
from compressor_gui.core.passes.flatten_atrous_conv import FlattenAtrousConv
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.fold_constants import FoldConstants
from compressor_gui.core.passes.fold_old_batch_norms import FoldOldBatchNorms
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.fuse_pad import FusePad
from compressor_gui.core.passes.insert_logging import InsertLogging
from compressor_gui.core.passes.merge_duplicate_nodes import MergeDuplicateNodes
from compressor_gui.core.passes.mixed_precision import MixedPrecision
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.prune_patterns import PruneBlocks, PruneNOfM
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.quantize_placeholders import QuantizePlaceholders
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.passes.remove_attribute import RemoveAttribute
from compressor_gui.core.passes.remove_channels import RemoveChannels
from compressor_gui.core.passes.remove_device import RemoveDevice
from compressor_gui.core.passes.remove_nodes import RemoveNodes
from compressor_gui.core.passes.rename_attribute import RenameAttribute
from compressor_gui.core.passes.rename_node import RenameNode
from compressor_gui.core.passes.rename_op import RenameOp
from compressor_gui.core.passes.rename_outputs import RenameOutputs
from compressor_gui.core.passes.round_weights import RoundWeights
from compressor_gui.core.passes.set_device import SetDevice
from compressor_gui.core.passes.sort_by_execution_order import SortByExecutionOrder
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.passes.strip_unused_nodes import StripUnusedNodes
from compressor_gui.core.passes.wording import did_you_mean

__all__ = ["ALL", "BY_NAME", "Param", "Pass", "PassResult", "apply", "make", "parse"]

ALL: tuple[type[Pass], ...] = (
    Prune,
    Weights,
    RemoveChannels,
    Factorize,
    PruneBlocks,
    PruneNOfM,
    QuantizeWeights,
    MixedPrecision,
    RoundWeights,
    QuantizeNodes,
    FreezeRequantizationRanges,
    FuseInt8,
    EqualizeLayers,
    CorrectBiases,
    ClipOutliers,
    InsertLogging,
    FakeQuantizeConcat,
    QuantizePlaceholders,
    FoldBatchNorms,
    FoldOldBatchNorms,
    FoldConstants,
    FlattenAtrousConv,
    FusePad,
    MergeDuplicateNodes,
    RemoveNodes,
    StripUnusedNodes,
    SortByExecutionOrder,
    RenameOutputs,
    RenameNode,
    RenameOp,
    RenameAttribute,
    RemoveAttribute,
    RemoveDevice,
    SetDevice,
)
BY_NAME: dict[str, type[Pass]] = {transform.name: transform for transform in ALL}


def no_such_pass(name: str, where: str = "") -> PassError:
    """The sentence on a name that no pass has."""
    hint = did_you_mean(name, BY_NAME, f"there are: {', '.join(BY_NAME)}")
    return PassError(f"there is no pass {name!r}", where=where, hint=hint)


def make(name: str, values: Mapping[str, Any], *, files: bool = False) -> Pass:
    """A pass by its name; ``files`` as in :meth:`Pass.from_values`. Raises PassError."""
    if name not in BY_NAME:
        raise no_such_pass(name)
    return BY_NAME[name].from_values(values, files=files)


def parse(text: str) -> Pass:
    """A pass from ``name(parameter=value, ...)``; a map may be a file's name. Raises PassError."""
    return make(*parse_call(text), files=True)
