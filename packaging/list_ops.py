"""Makes resources/ops.txt: the TensorFlow ops that a graph of unknown origin may run in the engine; and
resources/op_outputs.txt: the types of what these ops put out.

What is on the list computes, branches or keeps values in the session's memory. Left out is whatever reads or writes
files, opens sockets, runs Python, starts threads, blocks, or is not known to this list. Run it again after an update of
TensorFlow and read the difference before committing it: ``.venv/bin/python packaging/list_ops.py``.
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tensorflow.core.framework.op_def_pb2 import OpDef, OpList
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import kernels

TARGET = Path(__file__).resolve().parent.parent / "resources" / "ops.txt"
OUTPUTS = TARGET.with_name("op_outputs.txt")

CPU = ("CPU", "DEFAULT")
HEAD = """\
# TensorFlow ops that the engine runs without being asked. Made by packaging/list_ops.py; don't edit by hand.
"""

OUTPUTS_HEAD = """\
# The types of what each op puts out. Made by packaging/list_ops.py; don't edit by hand. For each output: the attribute
# that holds its type (one type, or a list of them), with =DEFAULT; or :TYPE; in front of it, the attribute that says
# how many there are, with *.
"""

# Of the ops without state, those that do more than compute. ImmutableConst maps a file into memory, the Debug and Copy
# ops send tensors to the URLs in their attributes, the proto ops read descriptors from files, as does
# FixedUnigramCandidateSampler among those with state.
REFUSED = re.compile(
    r"File|Dataset|Reader|Queue|Barrier|Accumulator|PyFunc|Debug|Copy|Proto|ImmutableConst|GenerateVocabRemapping"
    r"|BatchFunction|^Batch$|^Unbatch|CustomAggregator|CompositeTensor|Summary|Xla|MapDefun"
    r"|Sdca|KMC2|Kmeans|^(Resource|Sparse)?Apply|^Experimental|Sleep|^Abort$|Deadline|ompressElement|Optional|GetOptions"
    r"|AudioMicrofrontend|KernelLabel|^(Old|Fact|For|ConstructionFails|DestroyTemporaryVariable)$|HostC|CheckPinned|SymbolicGradient"
)

# Ops that begin with an underscore are TensorFlow's own; these are the fused kernels that people write into graphs.
INTERNAL = re.compile(r"^_(Fused|Quantized|MklLayerNorm$|MklFusedMish$|MklSwish$)")

# Of the ops with state, those whose state is the session's memory: variables, lists, tables, random numbers, branches.
ALLOWED = re.compile(
    r"^(Assert|Print|CheckNumerics(V2)?|GuaranteeConst|Empty|DeviceIndex|Case|If|While|StatefulPartitionedCall"
    r"|TensorArray\w*|Stack(V2|PushV2|PopV2|CloseV2)|(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?"
    r"|AnonymousHashTable|InitializeTableV2|LookupTable\w+V2|VarHandleOp|ReadVariableOp|AssignVariableOp"
    r"|AssignAddVariableOp|AssignSubVariableOp|VarIsInitializedOp|VariableV2|Variable|VariableShape|ResourceGather(Nd)?"
    r"|Random(StandardNormal|Uniform|UniformInt|Shuffle|Gamma|Poisson|PoissonV2|Crop)|TruncatedNormal"
    r"|ParameterizedTruncatedNormal|Multinomial|Stateful\w*(Normal|Uniform|UniformInt|Binomial)|Skipgram"
    r"|StatelessRandomGetAlg|SampleDistortedBoundingBox(V2)?|(All|LearnedUnigram|LogUniform|Uniform)CandidateSampler)$"
)


def harmless(op: OpDef) -> bool:
    """Whether running ``op`` touches nothing outside the session."""
    if op.name.startswith("_"):
        return INTERNAL.match(op.name) is not None and not op.is_stateful
    if op.is_stateful:
        return ALLOWED.match(op.name) is not None
    return REFUSED.search(op.name) is None


def outputs(op: OpDef) -> str:
    """A line of op_outputs.txt."""
    defaults = {attr.name: DataType.Name(attr.default_value.type)[3:] for attr in op.attr if attr.default_value.type}
    words = [op.name]
    for arg in op.output_arg:
        attr = arg.type_attr or arg.type_list_attr
        word = f"{attr}={defaults[attr]}" if attr in defaults else attr or f":{DataType.Name(arg.type)[3:]}"
        words.append(f"{arg.number_attr}*{word}" if arg.number_attr else word)
    return " ".join(words)


def main() -> None:
    """Write the lists."""
    ops = OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    runnable = {kernel.op for kernel in kernels.get_all_registered_kernels().kernel if kernel.device_type in CPU}
    calls = {"PartitionedCall", "StatefulPartitionedCall", "If", "While", "Case", "StatelessIf", "StatelessWhile"}
    names = sorted(op.name for op in ops.op if op.name in runnable | calls and harmless(op))
    TARGET.write_text(HEAD + textwrap.fill(" ".join(names), 118, break_long_words=False) + "\n", "utf-8")
    lines = sorted(outputs(op) for op in ops.op if op.name in set(names) and op.output_arg)
    OUTPUTS.write_text(OUTPUTS_HEAD + "\n".join(lines) + "\n", "utf-8")
    print(f"{len(names)} of {len(ops.op)} ops -> {TARGET}")


if __name__ == "__main__":
    main()
