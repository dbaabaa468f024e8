from __future__ import annotations

import pytest

from compressor_gui.core import wire
from compressor_gui.core.errors import CompressorError, GraphError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.trust import harmless_ops, refuse_untrusted, untrusted_ops
from tests.support import MODEL_FILES, conv_net, graph, needs_shared, node, placeholder


def function(name: bytes, *nodes: tuple[bytes, bytes]) -> bytes:
    """A FunctionDef as bytes: its signature's name, and name and op of each node."""
    signature = wire.put_bytes(1, wire.put_bytes(1, name))
    return signature + b"".join(wire.put_bytes(3, wire.put_bytes(1, n), wire.put_bytes(2, op)) for n, op in nodes)


def with_library(base: ModelGraph, *functions: bytes) -> ModelGraph:
    return ModelGraph(base.nodes, wire.put_bytes(2, *(wire.put_bytes(1, f) for f in functions)), base.outputs)


@pytest.mark.parametrize(
    "op",
    ["ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "EagerPyFunc", "PyFuncStateless", "SaveV2", "RestoreV2",
     "Save", "LoadDataset", "TFRecordDatasetV2", "TextLineReaderV2", "WholeFileReaderV2", "PrintV2", "DebugIdentityV2",
     "DebugIdentity", "ImmutableConst", "RpcCall", "DataServiceDatasetV4", "InitializeTableFromTextFileV2",
     "FixedUnigramCandidateSampler", "GenerateVocabRemapping", "DumpTensor", "Send", "_Send", "RemoteCall", "SleepOp",
     "XlaCallModule", "FileSystemSetConfiguration", "DecodeProtoV2", "LMDBReader", "SqlDataset", "Abort",
     "MergeV2Checkpoints", "SummaryWriter", "SomethingThatNobodyKnows"],
)  # fmt: skip
def test_what_reaches_outside_is_refused(op: str) -> None:
    found = graph(placeholder("x", (1,)), node("bad", op, "x"))
    assert untrusted_ops(found) == (("bad", op),)
    with pytest.raises(CompressorError, match=f"the op {op}"):
        refuse_untrusted(found)


@pytest.mark.parametrize(
    "op",
    ["Conv2D", "Placeholder", "NextIteration", "Enter", "Merge", "Switch", "LoopCond", "NoOp", "Assert", "While", "If",
     "StatefulPartitionedCall", "TensorArrayV3", "TensorListReserve", "HashTableV2", "LookupTableFindV2", "QuantizeV2",
     "QuantizedConv2D", "RequantizationRange", "Requantize", "Dequantize", "QuantizedBatchNormWithGlobalNormalization",
     "DecodeCompressed", "DecodeRaw", "DecodeJpeg", "GatherV2", "SparseMatrixMatMul", "RandomUniform",
     "FusedBatchNormV3", "QuantizedConv2DWithBiasAndReluAndRequantize", "FakeQuantWithMinMaxVars", "RFFT",
     "NonMaxSuppressionV5"],
)  # fmt: skip
def test_what_computes_runs(op: str) -> None:
    assert op in harmless_ops()


@needs_shared
@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda path: path.stem)
def test_the_real_models_run_without_being_asked(path: object) -> None:
    assert untrusted_ops(read_graph(str(path))) == ()


def test_functions_are_looked_into() -> None:
    base = graph(placeholder("x", (1,)), node("call", "PartitionedCall", "x"), node("direct", "my_function", "x"))
    harmless = function(b"my_function", (b"sum", b"AddV2"), (b"inner", b"other"))
    assert untrusted_ops(with_library(base, harmless, function(b"other"))) == ()
    assert untrusted_ops(with_library(base, harmless, function(b"other", (b"read", b"ReadFile")))) == (
        ("other/read", "ReadFile"),
    )


def test_a_function_can_not_lend_its_name_to_an_op_by_naming_itself_twice() -> None:
    """Protocol buffers merge repeated messages, and the last name counts: it is not ReadFile that is defined here."""
    double = wire.put_bytes(1, wire.put_bytes(1, b"ReadFile")) + wire.put_bytes(1, wire.put_bytes(1, b"innocent"))
    base = graph(placeholder("x", (1,)), node("bad", "ReadFile", "x"))
    assert untrusted_ops(with_library(base, double)) == (("bad", "ReadFile"),)


def test_a_damaged_library_is_said() -> None:
    broken = ModelGraph(conv_net().nodes, wire.put_bytes(2, b"\x0a\xff"), ("softmax",))
    with pytest.raises(GraphError, match="function library is damaged"):
        untrusted_ops(broken)
