"""Counting over a data set in parts, each in another process, merged in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar
from uuid import uuid4

from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import Dataset, cut
from compressor_gui.engine.scheduler import open_executor

PARTS = 128
"""The most parts: each of 32 machines gets four, and one that dies takes little with it."""


class Counts(Protocol):
    """What can be counted in parts."""

    def merge(self, other: Self) -> Self:
        """What both have counted, ``other`` second."""


C = TypeVar("C", bound=Counts)


@dataclass(frozen=True)
class Part(Generic[C]):
    """What was counted of ``n`` examples, and those beside them that can't be decoded."""

    n: int
    skipped: tuple[str, ...]
    counts: C

    def merge(self, other: Part[C]) -> Part[C]:
        """Both parts as one."""
        return Part(self.n + other.n, self.skipped + other.skipped, self.counts.merge(other.counts))


def count_elsewhere(
    address: str, shared: object, work: Callable[[str, range], Part[C]], data: Dataset, job: Job
) -> Part[C]:
    """What ``work(key, indices)`` counts of all examples in processes of the scheduler at ``address``, which have
    ``shared`` by ``key``.

    They are the examples, in the batches, of a run in this process: parts hold whole batches. Only where pictures are
    broken do the batches behind them begin elsewhere; as the limit is one of good examples, as many more are counted
    then as were broken. Raises CompressorError where no example is left, and what ``work`` raises.
    """
    key, numbers = uuid4().hex, data.indices
    limit = min(data.spec.limit or len(numbers), len(numbers))
    begin, end = 0, limit
    found: Part[C] | None = None
    with open_executor(address, key, shared) as executor:
        while begin < end:
            parts = cut(numbers[begin:end], data.batch, PARTS)
            waiting: deque[Future[Part[C]]] = deque(executor.submit(work, key, part) for part in parts)
            while waiting:
                done = len(parts) - sum(not future.done() for future in waiting)
                job.progress(begin + (end - begin) * done // len(parts), end, f"counting at {address}")
                if wait([waiting[0]], timeout=0.5).done:
                    part = waiting.popleft().result()
                    found = part if found is None else found.merge(part)
            begin, end = end, min(end + limit - (found.n if found else 0), len(numbers))
    if found is None or not found.n:
        raise data.without_examples(found.skipped if found else ())
    return found
