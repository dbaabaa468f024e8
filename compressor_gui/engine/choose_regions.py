"""Times a network with each of its 8-bit regions in float."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace

from compressor_gui.core.choose import (
    ChooseRegions,
    ChosenRegions,
    Kept,
    Pairs,
    answer,
    choose,
    fusing_step,
    with_skipped,
)
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.serve import Job
from compressor_gui.engine.latency import Subject, in_turns, warm
from compressor_gui.engine.models import read_model
from compressor_gui.engine.registry import Lack, lacks


def choose_regions(request: ChooseRegions, job: Job) -> ChosenRegions:
    """See ChooseRegions. Raises CompressorError where the recipe has no fuse_int8, or what it makes does not run."""
    if request.batch < 1 or request.runs < 1:
        raise CompressorError("batch and runs must be at least 1")
    recipe = Recipe.from_json(request.model.recipe) if request.model.recipe else Recipe()
    at = fusing_step(recipe)
    before = replace(recipe, steps=recipe.steps[:at])
    fuse = recipe.steps[at].transform
    assert isinstance(fuse, FuseInt8)
    operations = fuse.regions(read_model(replace(request.model, recipe=before.to_json())))
    if not operations:
        raise CompressorError("fuse_int8 makes nothing of this graph 8-bit", where=request.model.path)
    skip, lacking = without_kernels(request.model, recipe, operations)
    operations = tuple(names for names in operations if skip.isdisjoint(names))
    if not operations:
        hint = "quantize_nodes has the classic kernels"
        raise CompressorError(f"no region can be fused: {lacking[0]}", where=request.model.path, hint=hint)
    left = tuple(sorted(skip))
    with contextlib.ExitStack() as always:
        graphs = _Graphs(request, with_skipped(recipe, left), operations, job, always)
        choice = choose(len(operations), graphs.compare)
    found = answer(choice, operations, graphs.batch, request.runs)
    return replace(found, skip=(*left, *found.skip), lacking=lacking)


def without_kernels(
    model: ModelRef, recipe: Recipe, operations: tuple[tuple[str, ...], ...]
) -> tuple[frozenset[str], tuple[str, ...]]:
    """The operations of all regions for which the TensorFlow that runs has no kernels, and what it lacks."""

    def lacking(skipped: Iterable[tuple[str, ...]]) -> tuple[Lack, ...]:
        left = with_skipped(recipe, [name for names in skipped for name in names])
        return lacks(read_model(replace(model, recipe=left.to_json())))

    missing = lacking(())
    if not missing:
        return frozenset(), ()
    without = [one for one in operations if lacking(other for other in operations if other is not one)]
    return frozenset(name for names in without for name in names), tuple(lack.words for lack in missing)


class _Graphs:
    """The network with some of its regions in 8 bits. Those with all and with none stay loaded."""

    def __init__(
        self,
        request: ChooseRegions,
        recipe: Recipe,
        operations: tuple[tuple[str, ...], ...],
        job: Job,
        always: contextlib.ExitStack,
    ) -> None:
        self._request, self._recipe, self._operations = request, recipe, operations
        self._job, self._always = job, always
        self._loaded: dict[Kept, Subject] = {}
        self._done = 0

    @property
    def batch(self) -> int:
        """The examples of one run: the model may have a fixed number."""
        return next(iter(self._loaded.values())).batch

    def compare(self, one: Kept, other: Kept) -> Pairs:
        """Seconds of both, in turns."""
        with contextlib.ExitStack() as now:
            runs = [self._subject(kept, now).run for kept in (one, other)]
            first, second = in_turns(runs, self._request.runs, self._job)
        self._done += 1
        self._job.progress(self._done, max(len(self._operations) + 2, self._done), "timing regions")
        return list(zip(first, second, strict=True))

    def _subject(self, kept: Kept, now: contextlib.ExitStack) -> Subject:
        if kept in self._loaded:
            return self._loaded[kept]
        lasting = len(kept) in (0, len(self._operations))
        model = replace(self._request.model, recipe=self._variant(kept).to_json())
        subject = warm(model, self._request.batch, self._job, self._always if lasting else now)
        if lasting:
            self._loaded[kept] = subject
        return subject

    def _variant(self, kept: Kept) -> Recipe:
        if not kept:
            at = fusing_step(self._recipe)
            return self._recipe.replacing(at, replace(self._recipe.steps[at], enabled=False))
        left = [name for number, names in enumerate(self._operations) if number not in kept for name in names]
        return with_skipped(self._recipe, left)
