"""Recipes: their JSON, their replay, and what is run again."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import passes, pbio
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import CompressorError, PassError, RecipeError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import ALL, Param, Pass, PassResult
from compressor_gui.core.passes.base import param, parse_call, result
from compressor_gui.core.recipe import Recipe, Replayer, Step, digest
from compressor_gui.core.values import DType, Tensor
from tests.support import conv_net

ran: list[str] = []


@dataclass(frozen=True)
class Scale(Pass):
    """Multiplies the constants under a prefix."""

    name = "test_scale"
    title = "Scale constants"
    summary = "For the tests."

    prefix: str = param("", "text", "Prefix")
    factor: float = param(2.0, "number", "Factor", minimum=0, maximum=100)
    times: int = param(1, "integer", "Times", minimum=1)
    by_node: Any = param((), "amounts", "By node", minimum=-1, maximum=1)
    bounds: Any = param((), "ranges", "Bounds")
    mode: str = param("all", "choice", "Mode", choices=("all", "none"))
    strict: bool = param(False, "flag", "Strict")

    def run(self, graph: ModelGraph) -> PassResult:
        ran.append(self.label())
        if self.strict:
            raise PassError("it is strict", where="node 'conv'")
        edit = Edit(graph)
        for node in graph.nodes:
            tensor = node.tensor
            if tensor is not None and tensor.dtype == DType.FLOAT and node.name.startswith(self.prefix):
                edit.replace(
                    node.with_(attrs={"value": Tensor.of(tensor.array * self.factor**self.times, tensor.dtype)})
                )
        return result(edit)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(passes.BY_NAME, Scale.name, Scale)
    ran.clear()


# --- passes as declarations ------------------------------------------------------------------------------------------

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


def values_of(spec: Param) -> st.SearchStrategy[Any]:
    """Any value that a parameter takes, from what it says about itself."""
    low, high = spec.minimum, spec.maximum
    numbers = st.floats(low, high, allow_nan=False, allow_infinity=False)
    if spec.kind == "integer":
        return st.integers(
            math.ceil(low) if low is not None else -1000, math.floor(high) if high is not None else 1_000_000
        )
    ranges = st.tuples(st.floats(-9, 0), st.floats(0, 9))
    return {
        "number": numbers,
        "flag": st.booleans(),
        "choice": st.sampled_from(spec.choices or ("",)),
        "text": names,
        "names": st.lists(names.filter(str.strip), max_size=3).map(tuple),
        "amounts": st.dictionaries(names, numbers, max_size=3),
        "ranges": st.dictionaries(names, ranges, max_size=3),
        "renames": st.dictionaries(names, names, max_size=3),
    }[spec.kind]


@st.composite
def transforms(draw: st.DrawFn, *kinds: type[Pass]) -> Pass:
    """A pass with random parameters; those that exclude each other are drawn again."""
    kind = draw(st.sampled_from(kinds or (*ALL, Scale)))
    chosen = {key: draw(values_of(spec)) for key, spec in kind.params().items() if draw(st.booleans())}
    try:
        return kind.from_values(chosen)
    except PassError:  # each value is right, and together they make no sense
        key = next(iter(chosen))
        try:
            return kind.from_values({key: chosen[key]})
        except PassError:
            return Scale(prefix=kind.name)


@given(st.lists(st.tuples(transforms(), st.booleans()), max_size=4), st.sampled_from(["", "ab" * 32]))
def test_a_recipe_survives_its_json(steps: list[tuple[Pass, bool]], sha256: str) -> None:
    recipe = Recipe(tuple(Step(*step) for step in steps), sha256)
    text = recipe.to_json()
    assert Recipe.from_json(text) == recipe
    assert Recipe.from_json(text).to_json() == text
    assert json.loads(text)["format"] == 1


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
@given(data=st.data())
def test_a_call_says_what_a_pass_is(kind: type[Pass], data: st.DataObject) -> None:
    made = data.draw(transforms(kind))
    shown = {key: dict(value) if made.params()[key].kind in MAPS else value for key, value in made.chosen().items()}
    call = f"{made.name}({', '.join(f'{key}={value!r}' for key, value in shown.items())})"
    assert passes.parse(call) == made
    assert made.label().startswith(f"{made.name}(")
    assert set(made.to_json()) == {"pass", *made.params()}


MAPS = ("amounts", "ranges", "renames")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_pass_is_declared_whole(kind: type[Pass]) -> None:
    assert kind.name
    assert kind.title
    assert kind.summary
    assert dataclasses.is_dataclass(kind)
    assert {f.name for f in dataclasses.fields(kind)} == set(kind.params())
    assert all(spec.label for spec in kind.params().values())
    assert all(spec.choices for spec in kind.params().values() if spec.kind == "choice")


def test_labels_read_like_calls() -> None:
    assert Scale().label() == "test_scale()"
    made = Scale(factor=0.5, times=3, mode="none", strict=True)
    assert passes.parse(made.label()) == made
    assert Scale(by_node={"b": 0.5, "a": 1}).label() == "test_scale(by_node=[a: 1, +1])"


@given(
    st.builds(
        Scale,
        prefix=st.text(),
        factor=st.floats(0, 100),
        times=st.integers(1, 50),
        mode=st.sampled_from(["all", "none"]),
        strict=st.booleans(),
        by_node=st.dictionaries(st.text(), st.floats(-1, 1), max_size=3),
    )
)
def test_a_call_is_the_whole_pass(made: Scale) -> None:
    assert passes.parse(made.call()) == made


def test_calls_read_as_people_write_them() -> None:
    assert passes.parse("prune(layers={'fc1': 0.9}, scope=global)").call() == "prune(scope=global, layers={'fc1': 0.9})"
    assert passes.parse("remove_nodes(ops='A,B')").call() == "remove_nodes(ops=['A', 'B'])"
    assert passes.parse("quantize_weights(per_channel=false)").call() == "quantize_weights(per_channel=false)"


def test_calls() -> None:
    assert parse_call(" prune ") == ("prune", {})
    assert parse_call("p(a=1, b=-0.5, c='x y', d=word, e={'w': 0.5}, f=['a', 'b'], g=true)") == (
        "p",
        {"a": 1, "b": -0.5, "c": "x y", "d": "word", "e": {"w": 0.5}, "f": ["a", "b"], "g": "true"},
    )
    assert parse_call("p ( a = 'x, y)', b=\"it's\", c='a\\'b', d=/a/b-1.json,)") == (
        "p",
        {"a": "x, y)", "b": "it's", "c": "a'b", "d": "/a/b-1.json"},
    )
    assert passes.parse("test_scale(strict=false, factor=3)") == Scale(factor=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a pass"),
        ("test_scale(", "is not a pass"),
        ("test_scale(3)", "is not a pass"),
        ("(" * 5000, "is not a pass"),
        ("-" * 100_000 + "1", "is not a pass"),
        ("a.b(c=1)", "is not a pass"),
        ("nothing(x=1)", r"there is no pass 'nothing' \(there are: prune"),
        ("quantize_weight", r"there is no pass 'quantize_weight' \(did you mean quantize_weights"),
        ("test_scale(prefx=1)", r"there is no parameter 'prefx' \(did you mean prefix\?\)"),
        ("test_scale(size=1)", r"test_scale: there is no parameter 'size' \(there are: prefix, factor"),
        ("test_scale(prefix=a b)", r"prefix=a b is not a value \(put text in quotes\)"),
        ("test_scale(prefix='a)", "is not a pass"),
        ("test_scale(by_node={'a': 1)", "is not a pass"),
        ("test_scale(factor=1, factor=2)", "factor is given twice"),
        ("test_scale(factor=80%)", r"factor='80%' is not a number \(write 80 % as 0.8\)"),
        ("test_scale(prefix=open('x'))", "is not a value"),
        ("test_scale(by_node={[]: 1})", "is not a value"),
        ("test_scale(factor=word)", "factor='word' is not a number"),
        ("test_scale(factor=101)", "factor=101 must be at least 0 and at most 100"),
        ("test_scale(factor=1e999)", "factor=inf must be"),
        ("test_scale(times=1.5)", "times=1.5 is not a whole number"),
        ("test_scale(times=1e999)", "times=inf is not a whole number"),
        ("test_scale(times=0)", "times=0 must be at least 1"),
        ("test_scale(times=True)", "times=True is not a whole number"),
        ("test_scale(mode=some)", "mode='some' is not one of all, none"),
        ("test_scale(strict=maybe)", "strict='maybe' is not true or false"),
        ("test_scale(by_node={'a': 2})", r"by_node\['a'\]=2 must be at least -1 and at most 1 \(write 2 % as 0.02\)"),
        ("test_scale(by_node=3)", "is not a map of names to numbers"),
        ("test_scale(bounds={'a': 1})", r"is not a map of names to \[min, max\]"),
        ("test_scale(bounds='missing.json')", "bounds: missing.json: it can't be read"),
        ("test_scale(bounds=a-folder/missing-2.json)", "bounds: a-folder/missing-2.json: it can't be read"),
    ],
)
def test_calls_that_are_wrong(text: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        passes.parse(text)


def test_a_map_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    path.write_text('{"b": [0, 6], "a": [-1.5, 1.5]}')
    call = f"test_scale(bounds={str(path)!r})"
    assert passes.parse(call).chosen()["bounds"] == (("a", (-1.5, 1.5)), ("b", (0.0, 6.0)))
    path.write_text("{")
    with pytest.raises(PassError, match=r"ranges\.json: it is not a JSON file"):
        passes.parse(call)


@pytest.mark.parametrize("key", ["bounds", "by_node"])
def test_a_recipe_opens_no_files(tmp_path: Path, key: str) -> None:
    path = tmp_path / "map.json"
    path.write_text("{}")
    step = {"pass": "test_scale", key: str(path)}
    with pytest.raises(RecipeError, match=f"step 1: test_scale: {key}=.*map.json' is not a map of names"):
        Recipe.from_json(json.dumps({"format": 1, "steps": [step]}))


# --- recipes that are wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "recipe: it is not JSON"),
        ("[" * 100_000, "it is not a recipe"),
        ("[]", "it is not a recipe"),
        ("{}", r'it is not a recipe \(it has no "format"\)'),
        ('{"format": 2, "steps": []}', r"its format is 2, and this version reads 1 \(update"),
        ('{"format": 1}', '"steps" is not a list'),
        ('{"format": 1, "steps": [], "source_sha256": 5}', '"source_sha256" not text'),
        ('{"format": 1, "steps": [{}]}', 'recipe, step 1: there is no "pass" in it'),
        ('{"format": 1, "steps": [{"pass": "prune"}, {"pass": "no"}]}', "recipe, step 2: there is no pass 'no'"),
        ('{"format": 1, "steps": [{"pass": "test_scale", "times": Infinity}]}', "step 1: .*times=inf is not a whole"),
        ('{"format": 1, "steps": [{"pass": "test_scale", "factor": NaN}]}', "step 1: .*factor=nan must be"),
        ('{"format": 1, "steps": [{"pass": "test_scale", "size": 1}]}', "step 1: .*no parameter 'size'"),
    ],
)
def test_recipes_that_are_wrong(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Recipe.from_json(text)


def test_recipe_files(tmp_path: Path) -> None:
    recipe = Recipe.of(Scale(prefix="größe"), sha256="0" * 64)
    recipe.save(tmp_path / "r.json")
    assert Recipe.load(tmp_path / "r.json") == recipe
    with pytest.raises(RecipeError, match=r"missing\.json: it can't be read: No such file"):
        Recipe.load(tmp_path / "missing.json")
    (tmp_path / "picture").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(RecipeError, match="picture: it is not a recipe"):
        Recipe.load(tmp_path / "picture")
    with pytest.raises(CompressorError, match="it can't be written"):
        recipe.save(tmp_path / "nowhere" / "r.json")


def test_a_full_disk_leaves_the_old_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Recipe.of(Scale(prefix="old")).save(tmp_path / "r.json")
    old = (tmp_path / "r.json").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CompressorError, match="No space left on device"):
        Recipe.of(Scale(prefix="new")).save(tmp_path / "r.json")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("r.json", old)]


# --- editing and replay ----------------------------------------------------------------------------------------------

A, B, C = Scale(prefix="conv"), Scale(prefix="dense"), Scale(prefix="bias")


def test_editing_makes_new_recipes() -> None:
    recipe = Recipe.of(A, B)
    assert recipe.adding(C).active == (A, B, C)
    assert recipe.adding(C, 0).active == (C, A, B)
    assert recipe.removing(0).active == (B,)
    assert recipe.adding(C).moving(2, 0).active == (C, A, B)
    assert recipe.adding(C).moving(0, 2).active == (B, C, A)
    assert recipe.replacing(1, Step(C, enabled=False)).active == (A,)
    assert recipe.active == (A, B)


def test_only_what_changed_is_run_again() -> None:
    replayer = Replayer(conv_net())
    first = replayer.replay(Recipe.of(A, B, C))
    assert ran == [A.label(), B.label(), C.label()]
    ran.clear()
    other = dataclasses.replace(C, factor=3.0)
    second = replayer.replay(Recipe.of(A, B, other))
    assert ran == [other.label()]
    assert [stage.after for stage in second.stages[:2]] == [stage.after for stage in first.stages[:2]]
    assert second.stages[1].after["conv/weights"] is first.stages[1].after["conv/weights"]
    ran.clear()
    switched = replayer.replay(Recipe.of(A, B, other).replacing(0, Step(A, enabled=False)))
    assert ran == [B.label(), other.label()]
    assert [stage.index for stage in switched.stages] == [1, 2]
    ran.clear()
    assert len(replayer.replay(Recipe.of(B)).stages) == 1
    assert ran == []


def test_a_replay_equals_the_passes_one_by_one() -> None:
    replay = Replayer(conv_net()).replay(Recipe.of(A, B, A))
    graph = conv_net()
    for transform in (A, B, A):
        graph = passes.apply(transform, graph).graph
    assert pbio.to_bytes(replay.graph) == pbio.to_bytes(graph)
    assert [stage.transform for stage in replay.stages] == [A, B, A]
    assert replay.stages[2].before is replay.stages[1].after
    empty = Replayer(conv_net()).replay(Recipe())
    assert empty.graph is empty.source


def test_another_file_says_which_steps_found_nothing_to_do() -> None:
    replay = Replayer(conv_net()).replay(Recipe.of(A, Scale(prefix="nothing here"), B))
    assert [stage.index for stage in replay.idle] == [1]


def test_an_error_names_the_step_and_leaves_the_replayer_usable() -> None:
    replayer = Replayer(conv_net())
    bad = Recipe((Step(A, enabled=False), Step(B), Step(Scale(strict=True))))
    with pytest.raises(RecipeError, match=r"^step 3: node 'conv': it is strict$"):
        replayer.replay(bad)
    assert len(replayer.replay(Recipe.of(A, B)).stages) == 2


def test_cancelling_in_progress() -> None:
    class CancelledError(Exception):
        pass

    seen: list[tuple[int, int, str]] = []

    def progress(*now: Any) -> None:
        seen.append(now)
        if now[0] == 2:
            raise CancelledError

    replayer = Replayer(conv_net())
    replayer.replay(Recipe.of(A))
    ran.clear()
    with pytest.raises(CancelledError):
        replayer.replay(Recipe.of(A, B, C), progress)
    assert seen == [(0, 3, A.name), (1, 3, B.name), (2, 3, C.name)]
    assert ran == [B.label()]
    whole = replayer.replay(Recipe.of(A, B, C), lambda *now: seen.append(now))
    assert seen[-1] == (3, 3, "")
    assert pbio.to_bytes(whole.graph) == pbio.to_bytes(Replayer(conv_net()).replay(Recipe.of(A, B, C)).graph)


REPLAY = """
import sys
from compressor_gui.core import pbio
from compressor_gui.core.recipe import Recipe, Replayer, digest
replayer = Replayer(pbio.read_graph(sys.argv[1]))
print(digest(pbio.to_bytes(replayer.replay(Recipe.load(sys.argv[2])).graph)))
"""


def test_a_new_process_gives_identical_bytes(tmp_path: Path) -> None:
    pbio.write_graph(conv_net(), tmp_path / "model.pb")
    recipe = Recipe.of(
        passes.make("prune", {"sparsity": 0.5}),
        *(passes.make(name, {}) for name in ("remove_nodes", "round_weights", "quantize_weights")),
    )
    recipe.save(tmp_path / "recipe.json")
    here = Replayer(pbio.read_graph(tmp_path / "model.pb")).replay(recipe)
    command = [sys.executable, "-c", REPLAY, str(tmp_path / "model.pb"), str(tmp_path / "recipe.json")]
    for seed in ("1", "2"):  # the order of sets of strings depends on it
        run = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed})
        assert run.stdout.strip() == digest(pbio.to_bytes(here.graph))


def test_a_pass_that_lies_is_a_bug_and_not_the_users_doing() -> None:
    @dataclass(frozen=True)
    class Silent(Scale):
        def run(self, graph: ModelGraph) -> PassResult:
            return PassResult(super().run(graph).graph)

    with pytest.raises(AssertionError, match="does not say where"):
        passes.apply(Silent(), conv_net())
