"""Differences: what changed, which step did it, and which nodes of the source it came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import passes, pbio
from compressor_gui.core.diff import Diff, NodeDiff, Totals, diff_graphs, diff_replay
from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph, Node, Ref
from compressor_gui.core.match import match_nodes
from compressor_gui.core.passes import Pass, PassResult
from compressor_gui.core.passes.base import result
from compressor_gui.core.recipe import Recipe, Replay, Replayer
from compressor_gui.core.values import DType, Tensor
from tests.support import (
    MODEL_FILES,
    concat_net,
    const,
    conv_net,
    graph,
    graphs,
    needs_shared,
    node,
    placeholder,
    residual_net,
)


@dataclass(frozen=True)
class Do(Pass):
    """A pass that does what the test says."""

    title = "Do it"
    work: Callable[[Edit], None] = field(default=lambda edit: None)
    name: str = "do"  # type: ignore[misc]

    def run(self, graph: ModelGraph) -> PassResult:
        edit = Edit(graph)
        self.work(edit)
        return result(edit)


def chain() -> ModelGraph:
    return graph(
        placeholder("x", (1,)),
        const("w", [1.0, 2]),
        node("mul", "Mul", "x", "w"),
        node("neg", "Neg", "mul"),
        node("out", "Identity", "neg"),
    )


def replay(before: ModelGraph, *work: Callable[[Edit], None]) -> Replay:
    return Replayer(before).replay(Recipe.of(*(Do(work=w, name=f"step{i}") for i, w in enumerate(work))))


def check(diff: Diff, before: ModelGraph, after: ModelGraph) -> None:
    """What holds of every difference."""
    assert diff.unexplained == ()
    kept = [n for n in diff.nodes if n.change != "removed"]
    assert [n.name for n in kept] == list(after)
    assert len(diff.nodes) - diff.counts["added"] == len(before)
    assert all(origin in before for n in diff.nodes for origin in n.origins)
    assert sum(n.bytes_before for n in diff.nodes) + len(before.extras) == diff.bytes_before == pbio.byte_size(before)
    assert sum(n.bytes_after for n in diff.nodes) + len(after.extras) == diff.bytes_after == pbio.byte_size(after)
    assert (diff.ops_before, diff.ops_after) == (before.op_counts, after.op_counts)
    for totals in (diff.by_op.values(), [_plus(diff.by_step.values(), _totals(diff, step=None))]):
        assert sum(t.bytes_after for t in totals) == diff.bytes_after - len(after.extras)
    told = diff.to_json()
    assert json.loads(json.dumps(told)) == told
    assert {k: told[k] for k in ("added", "removed", "changed", "unchanged")} == diff.counts
    assert len(told["nodes"]) == sum(diff.counts.values())


def _totals(diff: Diff, step: int | None) -> Totals:
    return Totals(bytes_after=sum(n.bytes_after for n in diff.nodes if n.step is step))


def _plus(many: object, one: Totals) -> Totals:
    return Totals(bytes_after=one.bytes_after + sum(t.bytes_after for t in many))  # type: ignore[attr-defined]


# --- replays ---------------------------------------------------------------------------------------------------------


def quantize(edit: Edit) -> None:
    edit.add(const("w/q", [0, 1], DType.QUINT8), origins=["w"])
    edit.replace(node("w", "Dequantize", "w/q"))


def prune(edit: Edit) -> None:
    edit.replace(edit["w"].with_(attrs={"value": Tensor.of([0.0, 2], DType.FLOAT)}))


def drop_neg(edit: Edit) -> None:
    edit.remove("neg", "it is not needed")
    edit.rewire("neg", "mul")


def test_nothing_done_is_equal() -> None:
    done = replay(chain())
    diff = diff_replay(done)
    check(diff, done.source, done.graph)
    assert diff.equal
    assert diff.counts == {"added": 0, "removed": 0, "changed": 0, "unchanged": 5}
    size = pbio.node_size(done.source["w"])
    assert diff.nodes[1] == NodeDiff("w", "Const", "unchanged", ("w",), bytes_before=size, bytes_after=size)


def test_added_changed_removed_and_untouched() -> None:
    done = replay(chain(), prune, quantize, drop_neg)
    diff = diff_replay(done)
    check(diff, done.source, done.graph)
    assert not diff.equal
    found = diff.by_name
    assert [n.name for n in diff.nodes] == ["x", "w/q", "w", "mul", "neg", "out"]
    assert {n: (d.change, d.step, d.reason, d.steps, d.origins) for n, d in found.items()} == {
        "x": ("unchanged", None, "", (), ("x",)),
        "w/q": ("added", 1, "Do it", (1,), ("w",)),
        "w": ("changed", 1, "Do it", (0, 1), ("w",)),
        "mul": ("unchanged", None, "", (), ("mul",)),
        "neg": ("removed", 2, "it is not needed", (2,), ("neg",)),
        "out": ("changed", 2, "Do it", (2,), ("out",)),
    }
    assert found["w"].details == ("op", "inputs", "attr T", "attr dtype", "attr value")
    assert found["out"].details == ("inputs",)
    assert (found["w/q"].bytes_before, found["neg"].bytes_after) == (0, 0)
    assert set(diff.by_step) == {1, 2}
    assert diff.by_step[2] == Totals(
        removed=1,
        changed=1,
        bytes_before=found["neg"].bytes_before + found["out"].bytes_before,
        bytes_after=found["out"].bytes_after,
    )
    assert diff.by_op["Dequantize"].changed == 1
    told = {n["name"]: (n["change"], n["from"], n["step"], n["steps"]) for n in diff.to_json()["nodes"]}
    assert told["w"][:3] == ("changed", ["w"], 2)
    assert told["w"][3] == [
        {"step": 1, "name": "step0", "reason": "Do it"},
        {"step": 2, "name": "step1", "reason": "Do it"},
    ]
    assert told["x"] == ("unchanged", ["x"], None, [])
    assert [(s["step"], s["name"]) for s in diff.to_json()["by_step"]] == [(2, "step1"), (3, "step2")]


def test_origins_lead_back_to_the_source_through_all_steps() -> None:
    def join(edit: Edit) -> None:
        edit.add(node("fused", "MulNeg", "x", "w"), origins=["mul", "neg"], before="out")
        edit.rewire("neg", "fused")
        edit.remove("neg", "")
        edit.remove("mul", "")

    def split(edit: Edit) -> None:
        edit.add(node("a", "A", "x", "w"), origins=["fused", "w"])
        edit.add(node("b", "B", "a"), origins=["fused"])
        edit.rewire("fused", "b")
        edit.remove("fused", "split")

    done = replay(chain(), join, split)
    diff = diff_replay(done)
    check(diff, done.source, done.graph)
    added = {n.name: n.origins for n in diff.nodes if n.change == "added"}
    assert added == {"a": ("mul", "neg", "w"), "b": ("mul", "neg")}
    assert "fused" not in diff.by_name
    assert (diff.by_name["mul"].step, diff.by_name["mul"].reason) == (0, "became fused")
    assert diff.by_name["out"].steps == (0, 1)


def test_added_and_removed_again_does_not_appear() -> None:
    def add(edit: Edit) -> None:
        edit.add(node("new", "Neg", "x"), origins=["neg"])
        edit.replace(edit["out"].with_(inputs=["new"]))

    def take_back(edit: Edit) -> None:
        edit.replace(edit["out"].with_(inputs=["neg"]))
        edit.remove("new", "taken back")

    done = replay(chain(), add, prune, take_back)
    diff = diff_replay(done)
    check(diff, done.source, done.graph)
    assert diff.counts == {"added": 0, "removed": 0, "changed": 1, "unchanged": 4}
    assert diff.by_name["out"].change == "unchanged"
    assert diff.by_name["w"].details == ("value",)


def test_a_node_that_was_removed_and_comes_back_is_changed() -> None:
    def back(edit: Edit) -> None:
        edit.add(node("neg", "Abs", "mul"), origins=["mul"], before="out")
        edit.replace(edit["out"].with_(inputs=["neg"]))

    done = replay(chain(), drop_neg, back)
    diff = diff_replay(done)
    check(diff, done.source, done.graph)
    neg = diff.by_name["neg"]
    assert (neg.change, neg.details, neg.steps) == ("changed", ("op",), (0, 1))
    assert diff.by_name["out"].change == "unchanged"


def test_a_new_name_alone_is_a_change_of_name() -> None:
    def rename(edit: Edit) -> None:
        edit.add(edit["neg"].with_(name="minus"), origins=["neg"])
        edit.rewire("neg", "minus")
        edit.remove("neg", "renamed")

    done = replay(chain(), rename)
    diff = diff_replay(done)
    check(diff, done.source, done.graph)
    assert "neg" not in diff.by_name
    minus, out = diff.by_name["minus"], diff.by_name["out"]
    assert (minus.change, minus.origins, minus.details, minus.step) == ("changed", ("neg",), ("name",), 0)
    assert (out.change, out.details) == ("changed", ("input names",))


def test_what_one_step_did_by_itself() -> None:
    done = replay(chain(), prune, quantize)
    stage = done.stages[0]
    diff = diff_replay(Replay(stage.before, (stage,)))
    assert {n.name: n.details for n in diff.nodes if n.change != "unchanged"} == {"w": ("value",)}


def test_a_step_that_is_switched_off_keeps_its_number() -> None:
    recipe = Recipe.of(Do(work=prune), Do(work=drop_neg))
    off = recipe.replacing(0, type(recipe.steps[0])(recipe.steps[0].transform, enabled=False))
    assert diff_replay(Replayer(chain()).replay(off)).by_name["neg"].step == 1


def test_a_difference_that_no_step_explains_is_named() -> None:
    done = replay(chain(), prune)
    stage = done.stages[0]
    lying = PassResult(graph(*(n.with_(op="Abs") if n.name == "neg" else n for n in stage.after.nodes)), {"w": ("w",)})
    diff = diff_replay(Replay(done.source, (type(stage)(0, stage.transform, done.source, lying, 0.0),)))
    assert diff.unexplained == ("neg",)


def test_layers() -> None:
    done = Replayer(conv_net()).replay(Recipe.of(passes.make("prune", {"sparsity": 0.5})))
    diff = diff_replay(done)
    check(diff, done.source, done.graph)
    assert set(diff.by_layer) == {"conv", "dense"}
    assert diff.by_name["conv/weights"].layer == diff.by_name["conv"].layer == "conv"
    assert diff.by_name["dense/weights"].details == ("value",)
    assert diff.by_name["softmax"].layer is None
    assert diff.by_layer["conv"].changed == 1
    assert "dense" in diff.to_json()["by_layer"]


RECIPE = Recipe.of(
    *(passes.make(name, {}) for name in ("remove_nodes", "fold_batch_norms", "quantize_weights", "strip_unused_nodes"))
)


@given(graphs())
def test_every_difference_of_random_networks_is_explained(made: ModelGraph) -> None:
    done = Replayer(made).replay(RECIPE)
    check(diff_replay(done), made, done.graph)


@given(graphs())
def test_quantized_networks_are_explained(made: ModelGraph) -> None:
    done = Replayer(made).replay(Recipe.of(passes.make("remove_nodes", {}), passes.make("quantize_nodes", {})))
    check(diff_replay(done), made, done.graph)


@needs_shared
@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda path: path.stem)
def test_real_models_are_explained(path: object) -> None:
    source = pbio.read_graph(path)  # type: ignore[arg-type]
    pruned = passes.make("prune", {"sparsity": 0.8})
    done = Replayer(source).replay(Recipe.of(pruned, *RECIPE.active))
    check(diff_replay(done), source, done.graph)


# --- two files -------------------------------------------------------------------------------------------------------


def renamed(made: ModelGraph, name: Callable[[str], str]) -> ModelGraph:
    """The same graph under other names."""

    def read(ref: Ref) -> str:
        return str(ref._replace(name=name(ref.name)))

    nodes = [n.with_(name=name(n.name), inputs=[read(ref) for ref in n.refs]) for n in made.nodes]
    return ModelGraph(nodes, made.extras, [name(output) for output in made.outputs])


@given(graphs())
def test_a_graph_equals_itself_and_its_copy(made: ModelGraph) -> None:
    for other in (made, pbio.parse_graph(pbio.to_bytes(made)), ModelGraph([n.with_() for n in made.nodes])):
        diff = diff_graphs(made, other)
        check(diff, made, other)
        assert diff.equal
        assert diff_graphs(other, made).equal


@given(graphs(), st.sampled_from(["outer/", "a/b/c/"]))
def test_a_prefix_is_a_change_of_names(made: ModelGraph, prefix: str) -> None:
    other = renamed(made, lambda name: prefix + name)
    diff = diff_graphs(made, other)
    check(diff, made, other)
    assert diff.counts["changed"] == len(made)
    for found in diff.nodes:
        assert found.origins == (found.name.removeprefix(prefix),)
        assert found.details in (("name",), ("name", "input names"))


@pytest.mark.parametrize("net", [conv_net, residual_net, concat_net])
def test_nodes_are_recognised_by_structure(net: Callable[[], ModelGraph]) -> None:
    before = net()
    numbers = {name: f"node{index * 7 % 101}" for index, name in enumerate(before)}
    other = renamed(before, numbers.__getitem__)
    assert match_nodes(before, other) == {new: old for old, new in numbers.items()}
    retrained = ModelGraph([_retrained(n) for n in other.nodes])
    found = match_nodes(before, retrained)
    assert {found[numbers[name]] for name in before if before[name].op != "Const"} == {
        name for name in before if before[name].op != "Const"
    }
    details = diff_graphs(before, retrained).by_name[numbers[next(n for n in before if n.endswith("weights"))]].details
    assert details == ("name", "value")


def _retrained(found: Node) -> Node:
    tensor = found.tensor
    if tensor is None or tensor.dtype != DType.FLOAT:
        return found
    return found.with_(attrs={"value": Tensor.of(tensor.array * np.float32(0.9), DType.FLOAT)})


def test_inserted_and_missing_nodes() -> None:
    before = chain()
    after = graph(
        placeholder("input", (1,)),
        const("kernel", [1.0, 2]),
        node("product", "Mul", "input", "kernel"),
        node("check", "CheckNumerics", "product"),
        node("minus", "Neg", "check"),
        node("out", "Identity", "minus"),
    )
    diff = diff_graphs(before, after)
    check(diff, before, after)
    assert {n.name: (n.change, n.origins) for n in diff.nodes} == {
        "input": ("changed", ("x",)),
        "kernel": ("changed", ("w",)),
        "product": ("changed", ("mul",)),
        "check": ("added", ()),
        "minus": ("changed", ("neg",)),
        "out": ("changed", ("out",)),
    }
    assert diff.by_name["minus"].details == ("name", "inputs")
    back = diff_graphs(after, before)
    assert back.counts == {"added": 0, "removed": 1, "changed": 5, "unchanged": 0}
    assert [n.name for n in back.nodes] == ["x", "w", "mul", "check", "neg", "out"]


def test_graphs_with_nothing_in_common() -> None:
    before, after = graph(const("a", 1.0)), graph(placeholder("b", (2,)), node("c", "Neg", "b"))
    diff = diff_graphs(before, after)
    check(diff, before, after)
    assert diff.counts == {"added": 2, "removed": 1, "changed": 0, "unchanged": 0}
    assert [(n.name, n.step, n.reason) for n in diff.nodes] == [("a", None, ""), ("b", None, ""), ("c", None, "")]


def test_each_kind_of_change_is_named() -> None:
    old = Node("n", "Op", ("x",), chain()["mul"].attrs, "/cpu:0", b"")
    before = graph(placeholder("x", (1,)), placeholder("y", (1,)), old, outputs=["n"])

    def details(new: Node) -> tuple[str, ...]:
        return diff_graphs(before, graph(before["x"], before["y"], new, outputs=["n"])).by_name["n"].details

    assert details(old.with_()) == ()
    assert details(old.with_(inputs=["x:0"])) == ()
    assert details(old.with_(inputs=["y"])) == ("inputs",)
    assert details(old.with_(inputs=["x", "^y"])) == ("inputs",)
    assert details(old.with_(op="Other")) == ("op",)
    assert details(old.with_(attrs={"T": DType.HALF, "more": 1})) == ("attr T", "attr more")
    assert details(Node("n", "Op", ("x",), old.attrs, "/gpu:0", b"")) == ("device",)
    assert details(Node("n", "Op", ("x",), old.attrs, "/cpu:0", b"\xc0\x3e\x01")) == ("other fields",)


def test_what_is_not_a_node_counts() -> None:
    made = chain()
    diff = diff_graphs(made, ModelGraph(made.nodes, b"\x22\x02\x08\x1b"))
    assert (diff.equal, diff.extras_changed, diff.counts["unchanged"]) == (False, True, 5)
    assert diff.bytes_after - diff.bytes_before == 4


def test_the_order_of_nodes_does_not_count() -> None:
    made = conv_net()
    assert diff_graphs(made, ModelGraph(reversed(list(made.nodes)), made.extras)).equal
