"""A recipe: the ordered passes that lead from a source file to a compressed graph, and their replay.

Undo is a tuple of recipes and a cursor. The same recipe on the same file gives the same bytes, on any machine.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compressor_gui.core import passes, pbio, weight_store
from compressor_gui.core.errors import CompressorError, RecipeError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import Pass, PassResult
from compressor_gui.core.passes.correct_biases import CorrectBiases
from compressor_gui.core.passes.equalize_layers import EqualizeLayers
from compressor_gui.core.passes.stored_weights import Weights

FORMAT = 1


@dataclass(frozen=True)
class Step:
    """A pass in a recipe; one that is switched off keeps its place."""

    transform: Pass
    enabled: bool = True


@dataclass(frozen=True)
class Recipe:
    """An ordered tuple of steps, and the SHA-256 of the file they were made for (empty: any file)."""

    steps: tuple[Step, ...] = ()
    sha256: str = ""

    @staticmethod
    def of(*transforms: Pass, sha256: str = "") -> Recipe:
        """A recipe of passes, all switched on."""
        return Recipe(tuple(Step(t) for t in transforms), sha256)

    @property
    def active(self) -> tuple[Pass, ...]:
        """The passes that are switched on."""
        return tuple(step.transform for step in self.steps if step.enabled)

    def adding(self, transform: Pass, at: int | None = None) -> Recipe:
        """With one more step, at the end or at an index."""
        at = len(self.steps) if at is None else at
        return replace(self, steps=(*self.steps[:at], Step(transform), *self.steps[at:]))

    def replacing(self, index: int, step: Step) -> Recipe:
        """With another step at ``index``."""
        return replace(self, steps=(*self.steps[:index], step, *self.steps[index + 1 :]))

    def removing(self, index: int) -> Recipe:
        """Without the step at ``index``."""
        return replace(self, steps=(*self.steps[:index], *self.steps[index + 1 :]))

    def moving(self, index: int, to: int) -> Recipe:
        """With the step at ``index`` moved to ``to``."""
        rest = [*self.steps[:index], *self.steps[index + 1 :]]
        rest.insert(to, self.steps[index])
        return replace(self, steps=tuple(rest))

    def to_json(self) -> str:
        """The file's text: indented, keys in a fixed order."""
        steps: list[dict[str, Any]] = [{**step.transform.to_json(), "enabled": step.enabled} for step in self.steps]
        data = {"format": FORMAT, "source_sha256": self.sha256, "steps": steps}
        return json.dumps(data, indent=1, ensure_ascii=False)

    @staticmethod
    def from_json(text: str, where: str = "recipe") -> Recipe:
        """Read a recipe. Raises RecipeError naming the step that is wrong."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise RecipeError(f"it is not JSON: {error}", where=where) from None
        except RecursionError:
            raise RecipeError("it is not a recipe", where=where, hint="its JSON is nested too deeply") from None
        if not isinstance(data, dict) or "format" not in data:
            raise RecipeError("it is not a recipe", where=where, hint='it has no "format"')
        if data["format"] != FORMAT:
            words = f"its format is {data['format']!r}, and this version reads {FORMAT}"
            raise RecipeError(words, where=where, hint="update Compressor")
        entries = data.get("steps")
        if not isinstance(entries, list) or not isinstance(data.get("source_sha256", ""), str):
            raise RecipeError('"steps" is not a list or "source_sha256" not text', where=where)
        steps = []
        for number, entry in enumerate(entries, 1):
            if not isinstance(entry, dict) or not isinstance(entry.get("pass"), str):
                raise RecipeError('there is no "pass" in it', where=f"{where}, step {number}")
            values = {key: value for key, value in entry.items() if key not in ("pass", "enabled")}
            try:
                steps.append(Step(passes.make(entry["pass"], values), entry.get("enabled", True) is True))
            except CompressorError as error:
                raise _in_step(f"{where}, step {number}", error) from None
        return Recipe(tuple(steps), data.get("source_sha256", ""))

    @property
    def weights(self) -> tuple[str, ...]:
        """The SHA-256 of all stored arrays that its steps name."""
        kinds = Weights | EqualizeLayers | CorrectBiases
        found = (step.transform.sha256 for step in self.steps if isinstance(step.transform, kinds))
        return tuple(key for key in found if weight_store.is_key(key))

    def save(self, path: str | Path) -> None:
        """Write the recipe's JSON, and the weights that it names beside it; what was in the file stays where that
        fails. Raises CompressorError."""
        weight_store.copy_to(Path(path).parent, self.weights)
        pbio.move_over(pbio.bytes_beside([self.to_json().encode(), b"\n"], path), path)

    @staticmethod
    def load(path: str | Path) -> Recipe:
        """Read a recipe's file, and take the weights beside it into the store. Raises CompressorError."""
        try:
            text = Path(path).read_text("utf-8")
        except OSError as error:
            raise RecipeError(f"it can't be read: {error.strerror}", where=str(path)) from None
        except UnicodeDecodeError:
            raise RecipeError("it is not a recipe", where=str(path), hint="a recipe is a JSON file") from None
        recipe = Recipe.from_json(text, str(path))
        weight_store.take_from(Path(path).parent, recipe.weights)
        return recipe


def _in_step(step: str, error: CompressorError) -> RecipeError:
    """The error of a step, with the step named."""
    what = f"{error.where}: {error.what}" if error.where else error.what
    return RecipeError(what, where=step, hint=error.hint)


def digest(data: bytes) -> str:
    """The SHA-256 by which a recipe knows its source file."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, eq=False)
class Stage:
    """One replayed step: ``index`` in the recipe, the graphs before and after it, its result and seconds."""

    index: int
    transform: Pass
    before: ModelGraph
    result: PassResult
    seconds: float

    @property
    def after(self) -> ModelGraph:
        """The graph that the step made."""
        return self.result.graph


@dataclass(frozen=True, eq=False)
class Replay:
    """A replayed recipe: the source graph and a stage for each step that is switched on."""

    source: ModelGraph
    stages: tuple[Stage, ...] = ()

    @property
    def graph(self) -> ModelGraph:
        """The compressed graph."""
        return self.stages[-1].after if self.stages else self.source

    @property
    def left(self) -> dict[str, str]:
        """Node -> why the last step that looked at it left it as it was; see :attr:`.PassResult.left`."""
        found: dict[str, str] = {}
        for stage in self.stages:
            found.update(stage.result.left)
        return found

    @property
    def idle(self) -> tuple[Stage, ...]:
        """The steps that found nothing to do."""
        return tuple(stage for stage in self.stages if not stage.result.changed)


class Replayer:
    """Replays recipes on one graph and keeps the stages of the last one, so that only what changed is run again."""

    def __init__(self, source: ModelGraph) -> None:
        self.source = source
        self._last: tuple[Stage, ...] = ()

    def replay(self, recipe: Recipe, progress: Callable[[int, int, str], None] | None = None) -> Replay:
        """Run the recipe's active steps. ``progress(done, total, name)`` may raise to cancel.

        Raises RecipeError naming the step that can't be applied.
        """
        stages: list[Stage] = []
        graph, reusable = self.source, True
        total = len(recipe.active)
        for index, step in enumerate(recipe.steps):
            if not step.enabled:
                continue
            at = len(stages)
            if progress:
                progress(at, total, step.transform.name)
            old = self._last[at] if reusable and at < len(self._last) else None
            if old is not None and old.transform == step.transform:
                stages.append(replace(old, index=index))
            else:
                reusable = False
                start = time.perf_counter()
                try:
                    done = passes.apply(step.transform, graph)
                except CompressorError as error:
                    raise _in_step(f"step {index + 1}", error) from None
                stages.append(Stage(index, step.transform, graph, done, time.perf_counter() - start))
            graph = stages[-1].after
        if progress:
            progress(total, total, "")
        self._last = tuple(stages)
        return Replay(self.source, self._last)
