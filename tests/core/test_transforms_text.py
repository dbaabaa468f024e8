from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.cli.commands import cli
from compressor_gui.core.errors import PassError
from compressor_gui.core.passes.transforms_text import Transform, parse_transforms, split_transforms
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.recipe import Recipe
from tests.support import conv_net

FROM_THE_TOOLS_README = r"""\
 add_default_attributes
 strip_unused_nodes(type=float, shape="1,299,299,3")
 remove_nodes(op=Identity, op=CheckNumerics)
 fold_constants(ignore_errors=true)
 fold_batch_norms
 fold_old_batch_norms\
"""


def labels(text: str) -> list[str]:
    return [found.label() for found in parse_transforms(text)[0]]


def test_names_with_blanks_and_line_ends_between_them() -> None:
    assert labels("fold_constants fold_batch_norms\n\tmerge_duplicate_nodes  ") == [
        "fold_constants()", "fold_batch_norms()", "merge_duplicate_nodes()",
    ]  # fmt: skip
    assert labels("remove_device()fold_constants") == ["remove_device()", "fold_constants()"]


def test_the_tool_s_own_example() -> None:
    with pytest.raises(PassError, match="there is no add_default_attributes"):
        parse_transforms(FROM_THE_TOOLS_README)
    found, notes = parse_transforms(FROM_THE_TOOLS_README.replace("add_default_attributes", ""))
    assert [one.name for one in found] == [
        "strip_unused_nodes", "remove_nodes", "fold_constants", "fold_batch_norms", "fold_old_batch_norms",
    ]  # fmt: skip
    assert found[1].to_json()["ops"] == ["Identity", "CheckNumerics"]
    assert len(notes) == 2
    assert "shape, type says nothing here" in notes[0]
    assert "ignore_errors says nothing" in notes[1]


def test_values_bare_quoted_and_escaped() -> None:
    text = r"""insert_logging(op=RequantizationRange, show_name=true, message="__requant_min_max:")
        rename_node(old_node_name=super/deep-1.0/output, new_node_name='a b"c')
        rename_op( old_op_name = "A\"\\B" )"""
    assert split_transforms(text) == (
        Transform("insert_logging", {"op": ["RequantizationRange"], "show_name": ["true"],
                                     "message": ["__requant_min_max:"]}),
        Transform("rename_node", {"old_node_name": ["super/deep-1.0/output"], "new_node_name": ['a b"c']}),
        Transform("rename_op", {"old_op_name": ['A"\\B']}),
    )  # fmt: skip


def test_arguments_that_have_other_names_here(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(";conv_eightbit_requant_range__print__;__requant_min_max:[-1][2]\n")
    text = f"""quantize_nodes(input_min=-1, input_max=1) strip_unused_nodes(name=a, type_for_name=float, name=b)
        freeze_requantization_ranges(min_max_log_file="{log}", min_percentile=5)"""
    assert [one.call() for one in parse_transforms(text)[0]] == [
        "quantize_nodes(quantized_input=true, input_min=-1.0)",
        "strip_unused_nodes(inputs=['a', 'b'])",
        "freeze_requantization_ranges(ranges={'conv_eightbit_requant_range': [-1.0, 2.0]})",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no transform is given"),
        (" \n ", "no transform is given"),
        ("fold_constants, remove_device", "after 'fold_constants' the name of a transform should stand"),
        ("remove_nodes(", "an argument of remove_nodes, or . should stand, and there is no more"),
        ("remove_nodes(op)", "after 'remove_nodes.op' = should stand, and there is '.'"),
        ("remove_nodes(op=)", "a value of op should stand"),
        ("remove_nodes(op=A op=B)", ", should stand"),
        ('remove_nodes(op="A)', "a value of op should stand"),
        ("remove_nodes(op=A", "and there is no more"),
        ("nonsense", "there is no pass 'nonsense'"),
        ("quantize_weight", r"there is no pass 'quantize_weight' \(did you mean quantize_weights"),
        ("remove_nodes(color=red)", "there is no parameter 'color'"),
        ("round_weights(num_steps=4, num_steps=5)", "num_steps is given 2 times"),
        ("round_weights(num_steps=many)", "num_steps='many' is not a whole number"),
        ("quantize_nodes(ignore_op=MatMul)", "no parameter 'ignore_op'"),
        ("quantize_nodes(input_min=1, input_max=2)", "does not include 0"),
        ("freeze_requantization_ranges(min_percentile=3)", "min_percentile=3 is not 5"),
        ("obsfucate_names", "there is no obsfucate_names"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse_transforms(text)


word = st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True)
call = st.tuples(word, st.dictionaries(word, st.lists(st.text(max_size=8), min_size=1, max_size=3), max_size=3))


@given(st.lists(call, max_size=4), st.sampled_from([" ", "\n", " \\\n  "]))
def test_whatever_is_written_is_read_back(calls: list[tuple[str, dict[str, list[str]]]], between: str) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    texts = [
        f"{name}({', '.join(f'{key}={quoted(value)}' for key, values in given.items() for value in values)})"
        for name, given in calls
    ]
    assert split_transforms(between.join(texts)) == tuple(Transform(*one) for one in calls)


@given(st.text(alphabet="ab_(),='\"\\ \n1", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(PassError):
        calls = split_transforms(text)
        assert all(name.isidentifier() or name[0].isdigit() for name, _ in calls)


def test_on_the_command_line(tmp_path: Path) -> None:
    model, out, recipe = (tmp_path / name for name in ("model.pb", "out.pb", "recipe.json"))
    write_graph(conv_net(), model)
    text = "rename_op(old_op_name=Relu, new_op_name=Elu) fold_constants(ignore_errors=true)"
    arguments = ["compress", str(model), "-o", str(out), "--no-verify", "--transforms", text, "--pass", "remove_device"]
    done = CliRunner().invoke(cli, [*arguments, "--save-recipe", str(recipe)])
    assert done.exit_code == 0, done.output
    assert "ignore_errors says nothing here" in done.output
    assert read_graph(out)["relu"].op == "Elu"
    assert [one.name for one in Recipe.load(recipe).active] == ["rename_op", "fold_constants", "remove_device"]
    refused = CliRunner().invoke(cli, ["compress", str(model), "-o", str(out), "--transforms", "fold("])
    assert refused.exit_code == 2
