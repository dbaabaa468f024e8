"""Nodes, graphs, and the edits that make the next version of one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import pbio
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import GraphError
from compressor_gui.core.graph import ModelGraph, Node, Ref, parse_ref
from compressor_gui.core.values import DType, Shape
from tests.support import const, conv_net, graph, graphs, node, placeholder


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("a", Ref("a", 0, False)),
        ("a:0", Ref("a", 0, False)),
        ("scope/a:12", Ref("scope/a", 12, False)),
        ("^a", Ref("a", -1, True)),
        ("a:b", Ref("a:b", 0, False)),
        ("a:", Ref("a:", 0, False)),
        ("a:²", Ref("a:²", 0, False)),
        ("a:" + "1" * 5000, Ref("a:" + "1" * 5000, 0, False)),
    ],
)
def test_references(text: str, ref: Ref) -> None:
    assert parse_ref(text) == ref
    assert parse_ref(str(ref)) == ref


def test_a_node_answers_by_kind_or_with_the_default() -> None:
    made = Node.make("n", "Op", ["a", "b:1", "^c"], T=DType.HALF, padding=b"SAME", k=(1, 2), f=0.5, yes=True)
    assert [ref.name for ref in made.data_refs] == ["a", "b"]
    assert (made.dtype(), made.text("padding"), made.ints("k"), made.number("f"), made.flag("yes")) == (
        DType.HALF,
        "SAME",
        (1, 2),
        0.5,
        True,
    )
    assert (made.dtype("f"), made.text("T", "?"), made.ints("f"), made.number("T2", 2.0), made.flag("k")) == (
        None,
        "?",
        (),
        2.0,
        False,
    )
    assert (made.tensor, made.shape()) == (None, None)
    assert placeholder("p", (1,)).shape() == Shape((1,))


def test_changed_copies_share_what_did_not_change() -> None:
    made = pbio.parse_graph(pbio.to_bytes(graph(const("c", [1.0, 2.0]))))["c"]
    moved = made.with_(name="d", attrs={"note": b"moved"})
    assert moved.tensor is made.tensor
    assert (made.raw is not None, moved.raw) == (True, None)
    assert made.changed_attrs(moved) == ("note",)
    assert moved.with_(attrs={"note": None}).changed_attrs(made) == ()
    assert not made.same(moved)
    assert made.same(moved.with_(name="c", attrs={"note": None}))
    assert not made.same(made.with_(op="Other"))
    assert not made.same(made.with_(inputs=["^c"]))


@given(graphs(max_blocks=3))
def test_same_is_by_content_and_knows_the_attribute(made: ModelGraph) -> None:
    data = pbio.to_bytes(made)
    first, second = pbio.parse_graph(data), pbio.parse_graph(bytes(bytearray(data)))
    for name in first:
        assert first[name].same(second[name])
        assert first[name].same(second[name].with_())
        assert first[name].changed_attrs(second[name].with_(attrs={"more": 1})) == ("more",)


def test_the_same_number_of_another_kind_is_a_change() -> None:
    assert Node.make("n", "Op", x=1).changed_attrs(Node.make("n", "Op", x=True)) == ("x",)
    assert Node.make("n", "Op", x=1).changed_attrs(Node.make("n", "Op", x=1.0)) == ("x",)


def test_what_a_graph_knows() -> None:
    net = conv_net()
    assert (net.inputs, net.outputs) == (("input",), ("softmax",))
    assert net.op_counts["Const"] == 5
    assert next(iter(net.op_counts)) == "Const"
    assert net.consumers["conv/weights"] == (("conv", 1),)
    assert net.consumers["softmax"] == ()
    assert net.producer(net["conv"], 1) is net["conv/weights"]
    assert net.producer(net["conv"], 2) is None


def test_a_constant_is_seen_through_identities() -> None:
    net = graph(const("c", [1.0]), node("i", "Identity", "c"), node("j", "Identity", "i"), node("x", "Neg", "j"))
    assert net.constant(net["x"], 0) is net["c"].tensor
    assert net.constant(net["x"], 1) is None
    loop = graph(node("i", "Identity", "j"), node("j", "Identity", "i"), node("x", "Neg", "i"))
    assert loop.constant(loop["x"], 0) is None


@given(graphs(), st.randoms(use_true_random=False))
def test_topological_order(made: ModelGraph, random: object) -> None:
    nodes = list(made.nodes)
    random.shuffle(nodes)  # type: ignore[attr-defined]
    order = [n.name for n in ModelGraph(nodes).topological()]
    place = {name: index for index, name in enumerate(order)}
    assert sorted(order) == sorted(made)
    assert all(place[ref.name] < place[n.name] for n in nodes for ref in n.refs)
    assert [n.name for n in ModelGraph(nodes).topological()] == order


# --- edits -----------------------------------------------------------------------------------------------------------


def chain() -> ModelGraph:
    return graph(
        placeholder("x", (1,)),
        node("a", "Relu", "x"),
        node("b", "Neg", "a:0"),
        node("c", "Abs", "b", "^a"),
        outputs=["c"],
    )


def test_an_edit_that_does_nothing_shares_everything() -> None:
    before = chain()
    edit = Edit(before)
    edit.replace(before["a"])
    after = edit.finish()
    assert list(after.nodes) == list(before.nodes)
    assert (edit.origins, edit.removed) == ({}, {})


def test_added_nodes_stand_before_their_first_origin() -> None:
    edit = Edit(chain())
    edit.add(node("p", "Identity", "x"), origins=["b"])
    edit.add(node("q", "Identity", "p"), origins=["b", "b", "a"])
    edit.add(node("r", "Identity", "q"), origins=["x"], before="p")
    edit.add(const("s", 1.0), origins=["a"], before="nowhere")
    after = edit.finish()
    assert list(after) == ["x", "a", "p", "q", "r", "b", "c", "s"]
    assert edit.origins == {"p": ("b",), "q": ("b", "a"), "r": ("x",), "s": ("a",)}
    assert after.outputs == ("c",)
    with pytest.raises(ValueError, match="x exists"):
        edit.add(node("x", "NoOp"), origins=[])


def test_removing_and_rewiring() -> None:
    before = chain()
    edit = Edit(before)
    edit.remove("a", "it does nothing")
    edit.rewire("a", "x")
    after = edit.finish()
    assert list(after) == ["x", "b", "c"]
    assert after["b"].inputs == ("x",)
    assert after["c"].inputs == ("b", "^x")
    assert edit.removed == {"a": "it does nothing"}
    assert edit.origins == {"b": ("b",), "c": ("c",)}
    assert after["x"] is before["x"]
    assert before["b"].inputs == ("a:0",)


def test_rewiring_one_output_of_several_and_along_a_chain() -> None:
    before = graph(node("s", "Split"), node("t", "Neg", "s:1"), node("u", "Neg", "s"), node("v", "Neg", "s:0"))
    edit = Edit(before)
    edit.rewire("s:1", "t2:0")
    edit.rewire("t2", "s:2")
    after = edit.finish()
    assert [after[name].inputs for name in "tuv"] == [("s:2",), ("s",), ("s:0",)]
    edit.rewire("s:2", "s:1")
    with pytest.raises(ValueError, match="circles"):
        edit.finish()


def test_control_inputs_on_what_is_gone_are_dropped_and_never_point_at_oneself() -> None:
    edit = Edit(
        graph(const("k", 1.0), node("a", "NoOp"), node("b", "Neg", "k", "^a", "^k"), node("c", "Neg", "b", "^k"))
    )
    edit.remove("a", "unused")
    edit.rewire("k", "c")
    edit.remove("k", "replaced")
    after = edit.finish()
    assert after["b"].inputs == ("c", "^c")
    assert after["c"].inputs == ("b",)


def test_a_removed_node_may_come_back_as_another() -> None:
    edit = Edit(chain())
    edit.remove("b", "rebuilt")
    edit.add(node("b", "Sqrt", "a"), origins=["b", "a"])
    after = edit.finish()
    assert (list(after), after["b"].op) == (["x", "a", "b", "c"], "Sqrt")
    assert (edit.origins, edit.removed) == ({"b": ("b", "a")}, {})


def test_added_then_removed_leaves_no_trace() -> None:
    edit = Edit(chain())
    edit.add(node("new", "Neg", "x"), origins=["a"])
    edit.remove("new", "not needed after all")
    assert list(edit.finish()) == list(chain())
    assert (edit.origins, edit.removed) == ({}, {})


def test_colocation_with_what_is_gone_is_forgotten() -> None:
    near = node("n", "Neg", "x", _class=(b"loc:@a", b"loc:@x"))
    only = node("o", "Neg", "x", _class=(b"loc:@a",))
    odd = node("p", "Neg", "x", _class=(b"loc:@\xff", b"other"))
    edit = Edit(graph(placeholder("x", (1,)), node("a", "Neg", "x"), near, only, odd))
    edit.remove("a", "unused")
    after = edit.finish()
    assert after["n"].attrs["_class"] == (b"loc:@x",)
    assert "_class" not in after["o"].attrs
    assert after["p"].attrs["_class"] == (b"other",)


def test_two_nodes_of_one_name() -> None:
    with pytest.raises(GraphError, match="node 'a': two nodes have this name"):
        graph(const("a", 1.0), const("a", 2.0))
