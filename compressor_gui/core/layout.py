"""Layered positions for a folded graph, computed in a worker process: ``python -m compressor_gui.core.layout``.

fast-sugiyama (the method of Sugiyama, Tagawa and Toda, 1981) ranks the boxes and orders them with few crossings. It
ends its process on some inputs (a self-loop), so it never runs in the window's; when its process dies, a plain layered
layout takes its place.
"""

from __future__ import annotations

import atexit
import base64
import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.fold import Folded
from compressor_gui.core.protocol import Died, Done, Event, Request
from compressor_gui.core.serve import Job, serve
from compressor_gui.core.worker import Worker

BOX_WIDTH, BOX_HEIGHT = 204.0, 44.0
COLUMN, ROW = 236.0, 80.0
"""Distance between neighbouring boxes' centres, in the units of the picture (pixels at 1:1)."""
_LINE_GAP = 0.1
"""Columns between long edges that run side by side."""
_EXACT_UP_TO = 2000
"""Shortest edges and fewest crossings take time that grows with the square; a larger graph takes the next best."""
_STACK = 1 << 29
_PATIENCE = 20.0
"""Seconds after which a plain layout takes the place of one that is not ready."""
_SHELF_COLUMNS = 40
"""Unconnected parts are set side by side in shelves that are at least so wide."""

Edges = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where boxes and edges are.

    ``x`` and ``y``: centres of the boxes. ``bends``: the points between the two ends of each edge, in its direction;
    those of edge ``i`` are ``bends[bend_start[i]:bend_start[i + 1]]``, (x, y). ``note`` says when it is a fallback.
    """

    x: Floats
    y: Floats
    bends: Floats
    bend_start: NDArray[np.int64]
    note: str = ""

    @property
    def rows(self) -> NDArray[np.int64]:
        """Each box's row; all boxes of a row have the same ``y``."""
        return np.asarray(np.rint(self.y / ROW), np.int64)

    def with_rows_at(self, places: Floats) -> Layout:
        """The same with row ``i`` moved to ``places[i]`` (increasing); bends move along."""
        at = np.arange(len(places)) * ROW
        bends = self.bends.copy()
        bends[:, 1] = np.interp(bends[:, 1], at, places)
        return replace(self, y=np.interp(self.y, at, places), bends=bends)


# --- the worker's side -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """Columns and rows, then the bends of every edge; arrays as :func:`pack` writes them."""

    x: str
    y: str
    bends: str
    bend_start: str


@dataclass(frozen=True)
class Place(Request[Placed]):
    """Place ``count`` boxes joined by ``edges`` (packed int32 pairs without cycles)."""

    name: ClassVar[str] = "place"
    answer: ClassVar[type] = Placed

    count: int
    edges: str


def pack(array: NDArray[Any]) -> str:
    """An array's bytes as text: a hundred thousand numbers need no check one by one."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def unpack(text: str, dtype: type) -> NDArray[Any]:
    """What :func:`pack` wrote, flat."""
    return np.frombuffer(base64.b64decode(text), dtype)


def place(request: Place, _job: Job | None = None) -> Placed:
    """Answer a request: one sugiyama layout for each connected part, the parts side by side."""
    answers: list[Layout | BaseException] = []

    def work() -> None:
        try:
            answers.append(sugiyama(request.count, unpack(request.edges, np.int32).reshape(-1, 2)))
        except BaseException as error:
            answers.append(error)

    # fast-sugiyama walks graphs in depth on the stack: a chain of a hundred thousand boxes needs a large one.
    threading.stack_size(_STACK)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    found = answers[0]
    if isinstance(found, BaseException):
        raise found
    return Placed(pack(found.x), pack(found.y), pack(found.bends), pack(found.bend_start))


def sugiyama(count: int, edges: Edges) -> Layout:
    """Layered positions of ``count`` boxes; ``edges`` have no cycles, loops or doubles."""
    from fast_sugiyama import from_edges

    exact = count <= _EXACT_UP_TO
    options = {"ranking_type": "minimize" if exact else "down", "transpose": exact}
    column, row = np.zeros(count), np.zeros(count)
    bends: list[list[tuple[float, float]]] = [[] for _ in edges]
    laid_out = []
    for boxes, inside in _parts(count, edges):
        # One part at a time, its boxes numbered from 0: fast-sugiyama gives the ids from a part's size on to its bends.
        number = dict(zip(boxes, range(len(boxes)), strict=True))
        pairs = [(number[a], number[b]) for a, b in edges[inside].tolist()]
        found = (
            from_edges(pairs, vertex_spacing=1.0, check_layout=False, **options)
            if pairs
            else [([(0, (0, 0))], 0, 0, [])]
        )
        laid_out.append((boxes, inside, pairs, found[0]))
    shelves = _Shelves(sum(part[1] + 1 for *_, part in laid_out))
    for boxes, inside, pairs, (positions, width, height, split) in laid_out:
        left, top = shelves.place(width + 1, round(height) + 1)
        where = {node: (x + left, height - y + top) for node, (x, y) in positions}
        for node, box in enumerate(boxes):
            column[box], row[box] = where[node]
        routes = dict(_routes(len(boxes), split or [], where))
        for edge, pair in zip(inside, pairs, strict=True):
            bends[edge] = routes.get(pair, [])
    return _finished(column, row, bends)


def _parts(count: int, edges: Edges) -> list[tuple[list[int], list[int]]]:
    """The connected parts, the largest first: their boxes and the indices of their edges."""
    import networkx as nx

    graph = nx.empty_graph(count)
    pairs = edges.tolist()
    graph.add_edges_from(pairs)
    parts: list[tuple[list[int], list[int]]] = [(sorted(boxes), []) for boxes in nx.connected_components(graph)]
    inside = {box: part[1] for part in parts for box in part[0]}
    for index, (a, _) in enumerate(pairs):
        inside[a].append(index)
    return sorted(parts, key=lambda part: (-len(part[0]), part[0]))


def _routes(
    count: int, split: Sequence[tuple[int, int]], where: dict[int, tuple[float, float]]
) -> Iterator[tuple[tuple[int, int], list[tuple[float, float]]]]:
    """The bends of long edges, which come split by points whose ids are at or above ``count``."""
    onward = {a: b for a, b in split if a >= count}
    for a, b in split:
        if a < count <= b:
            points = []
            while b >= count:
                points.append(where[b])
                b = onward[b]
            yield (a, b), points


class _Shelves:
    """Sets parts side by side, and begins a new shelf below when one is full."""

    def __init__(self, total: float) -> None:
        self._limit = max(_SHELF_COLUMNS, total**0.5)
        self._x = 0.0
        self._top = 0
        self._height = 0

    def place(self, width: float, height: int) -> tuple[float, int]:
        if self._x and self._x + width > self._limit:
            self._x, self._top, self._height = 0.0, self._top + self._height + 1, 0
        left, self._x, self._height = self._x, self._x + width + 0.25, max(self._height, height)
        return left, self._top


def _finished(column: Floats, row: Floats, bends: Sequence[Sequence[tuple[float, float]]]) -> Layout:
    points = np.array([point for route in bends for point in route], np.float64).reshape(-1, 2)
    column, points[:, 0] = _narrowed(column, points[:, 0])
    starts = np.cumsum([0, *map(len, bends)])
    return Layout(column * COLUMN, row * ROW, points * (COLUMN, ROW), np.asarray(starts, np.int64))


def _narrowed(column: Floats, bends: Floats) -> tuple[Floats, Floats]:
    """The same columns, closer together where no row has a box: there, long edges run side by side."""
    every = np.unique(np.round(np.concatenate([column, bends]), 6))
    if len(every) < 2:
        return column, bends
    boxes = np.sort(column)
    low, high = every[:-1], every[1:]
    before = low - boxes[np.clip(np.searchsorted(boxes, low + 1e-6) - 1, 0, None)]
    behind = boxes[np.clip(np.searchsorted(boxes, high - 1e-6), None, len(boxes) - 1)] - high
    # Half a column beside a box is its own; a negative distance means that there is no box on that side.
    own = np.where(before >= -1e-6, np.maximum(0.5 - before, 0), 0) + np.where(
        behind >= -1e-6, np.maximum(0.5 - behind, 0), 0
    )
    own = np.minimum(own, high - low)
    gaps = own + np.minimum(high - low - own, _LINE_GAP)
    places = np.concatenate([[0.0], np.cumsum(gaps)])
    return np.interp(column, every, places), np.interp(bends, every, places)


# --- the window's side -----------------------------------------------------------------------------------------------

_lock = threading.Lock()
_worker: Worker | None = None
_recent: OrderedDict[tuple[int, bytes], Layout] = OrderedDict()
_KEPT = 8
"""So many layouts are remembered: a pruned graph has the boxes and edges of the one before, and undo goes back."""


def prestart() -> None:
    """Start the worker's process now, so that it is ready when the first graph has been read."""
    _shared_worker().submit(Place(2, pack(np.array([[0, 1]], np.int32))))


def close() -> None:
    """End the worker's process and forget its answers; the next layout starts another."""
    global _worker
    _recent.clear()
    with _lock:
        worker, _worker = _worker, None
    if worker is not None:
        worker.close()


def _shared_worker() -> Worker:
    global _worker
    with _lock:
        if _worker is None:
            _worker = Worker("compressor_gui.core.layout")
            atexit.register(close)
        return _worker


def layout(folded: Folded) -> Layout:
    """Positions of a folded graph's boxes and edges. Waits for the worker: call it outside the GUI thread."""
    count = len(folded.boxes)
    key = (count, folded.edges.tobytes())
    found = _recent.get(key)
    if found is None:
        found = _layout(count, folded.edges)
        if not found.note:
            _recent[key] = found
            while len(_recent) > _KEPT:
                _recent.popitem(last=False)
    return found


def _layout(count: int, wanted: Edges) -> Layout:
    edges, turned = without_cycles(count, wanted)
    unique, back = np.unique(edges, axis=0, return_inverse=True) if len(edges) else (edges, np.zeros(0, np.int64))
    try:
        answer = _ask(Place(count, pack(unique.astype(np.int32))))
        found = Layout(
            unpack(answer.x, np.float64),
            unpack(answer.y, np.float64),
            unpack(answer.bends, np.float64).reshape(-1, 2),
            unpack(answer.bend_start, np.int64),
        )
    except CompressorError as error:
        found = replace(plain(count, unique), note=f"This is a plain layout: {error.what}.")
    return _for_all_edges(found, np.asarray(back).reshape(-1), turned)


def _ask(request: Place) -> Placed:
    """The worker's answer. Raises CompressorError when it died or took too long."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    worker = _shared_worker()
    job = worker.submit(request, lambda _, event: events.put(event))
    try:
        event = events.get(timeout=_PATIENCE)
    except queue.Empty:
        worker.cancel(job)
        raise CompressorError(f"a better one takes more than {_PATIENCE:.0f} s") from None
    if isinstance(event, Done):
        answer: Placed = event.result
        return answer
    raise CompressorError(event.reason if isinstance(event, Died) else getattr(event, "what", "it was cancelled"))


def _for_all_edges(found: Layout, back: NDArray[np.int64], turned: NDArray[np.bool_]) -> Layout:
    """Give the bends of the edges that were laid out to those that were asked for, turned ones from end to start."""
    counts = np.diff(found.bend_start)[back]
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    within = np.arange(int(starts[-1])) - np.repeat(starts[:-1], counts)
    last = np.repeat(counts - 1, counts)
    within = np.where(np.repeat(turned, counts), last - within, within)
    return replace(found, bends=found.bends[np.repeat(found.bend_start[:-1][back], counts) + within], bend_start=starts)


def without_cycles(count: int, edges: Edges) -> tuple[Edges, NDArray[np.bool_]]:
    """The edges with those turned round that lead back (a loop's NextIteration, scopes that read one another).

    Returns the edges and which of them were turned. It leads back when its target is still open in a walk in depth.
    """
    readers: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    incoming = np.zeros(count, np.int64)
    for index, (a, b) in enumerate(edges.tolist()):
        readers[a].append((b, index))
        incoming[b] += 1
    turned = np.zeros(len(edges), bool)
    fresh, opened, done = 0, 1, 2
    state = [fresh] * count
    for start in (*np.flatnonzero(incoming == 0).tolist(), *range(count)):
        if state[start] != fresh:
            continue
        state[start] = opened
        walk = [(start, iter(readers[start]))]
        while walk:
            node, rest = walk[-1]
            for reader, index in rest:
                if state[reader] == opened:
                    turned[index] = True
                elif state[reader] == fresh:
                    state[reader] = opened
                    walk.append((reader, iter(readers[reader])))
                    break
            else:
                state[node] = done
                walk.pop()
    return np.where(turned[:, None], edges[:, ::-1], edges), turned


def plain(count: int, edges: Edges) -> Layout:
    """Rows by longest path, columns by the mean of what a box reads: no routing, but it never fails."""
    inputs: list[list[int]] = [[] for _ in range(count)]
    readers: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges.tolist():
        inputs[b].append(a)
        readers[a].append(b)
    waiting = [len(found) for found in inputs]
    row = np.zeros(count)
    ready = [i for i in range(count) if not waiting[i]]
    for node in ready:  # grows while it is walked
        for reader in readers[node]:
            row[reader] = max(row[reader], row[node] + 1)
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    column = np.zeros(count)
    for level in range(int(row.max(initial=-1)) + 1):
        boxes = np.flatnonzero(row == level)
        wish = np.array([np.mean(column[inputs[box]]) if inputs[box] else 0.0 for box in boxes])
        order = boxes[np.argsort(wish, kind="stable")]
        column[order] = np.arange(len(order)) - (len(order) - 1) / 2
    return _finished(column, row, [[] for _ in edges])


if __name__ == "__main__":
    # The request as its module names it: run as a program, this file's own classes would be another module's.
    from compressor_gui.core import layout as program

    serve({program.Place: program.place})
