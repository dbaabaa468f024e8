"""How long a model takes, beside another one, and which nodes take it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.machine import ONEDNN, onednn_is_asked_for
from compressor_gui.core.measure import Latency, LatencyResult, ModelRef, Timing
from compressor_gui.core.serve import Job
from compressor_gui.engine.models import Model, load_model, runnable_feeds
from compressor_gui.engine.session import TF_ERRORS, failure, tf

WARM_RUNS = 5
"""Runs that don't count: Grappler rewrites the graph in the first, the allocator grows in the next."""
TRACED_RUNS = 5
"""Runs with every kernel timed, after the others: the trace takes time itself."""

Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that is ready to run: what it is fed, what it computes, and the peak memory of loading and warming it."""

    model: Model
    feeds: Feeds
    fetches: list[str]
    run: Callable[[], Any]
    peak_bytes: int

    @property
    def batch(self) -> int:
        """The examples of one run: the first dimension of the first input that has one."""
        return next((value.shape[0] for value in self.feeds.values() if value.ndim), 1)


def latency(request: Latency, job: Job) -> LatencyResult:
    """See Latency. Raises CompressorError where a model can't be read, is refused or does not run."""
    if request.batch < 1 or request.runs < 1 or request.threads < 0:
        raise CompressorError("batch and runs must be at least 1, and threads 0 or more")
    with contextlib.ExitStack() as stack:
        subjects = [warm(ref, request.batch, job, stack) for ref in filter(None, (request.model, request.against))]
        job.progress(0, request.runs, "timing")
        times = in_turns([subject.run for subject in subjects], request.runs, job)
        timings = [_timing(s, ts, request.nodes, job) for s, ts in zip(subjects, times, strict=True)]
    model, against = timings[0], timings[1] if len(timings) > 1 else None
    return LatencyResult(
        batch=subjects[0].batch,
        threads=request.threads or _processors(),
        runs=request.runs,
        model=model,
        against=against,
        speedup=against.median_ms / model.median_ms if against else None,
        notes=tuple(filter(None, (*(_batch_note(subject, request.batch) for subject in subjects), _onednn_note()))),
    )


def warm(ref: ModelRef, batch: int, job: Job, stack: contextlib.ExitStack) -> Subject:
    """Load a model and run it until it runs as fast as it will."""
    name = Path(ref.path).name
    job.progress(0, 0, f"loading {name}")
    _forget_peak()
    model = stack.enter_context(load_model(ref))
    fetches = [tensor for tensors in model.loaded.tensors(model.outputs).values() for tensor in tensors]

    def attempt(feeds: Feeds) -> None:
        job.check()
        model.loaded.run(fetches, feeds)

    try:
        feeds = runnable_feeds(model.graph, attempt, batch=batch)
    except TF_ERRORS as error:
        what = "TensorFlow does not run it" if batch == 1 else f"TensorFlow does not run it with a batch of {batch}"
        raise failure(error, what, ref.path) from None
    run = model.loaded.prepared(fetches, feeds)
    for number in range(WARM_RUNS):
        job.progress(number, WARM_RUNS, f"warming up {name}")
        run()
    return Subject(model, feeds, fetches, run, _peak())


def in_turns(actions: list[Callable[[], Any]], runs: int, job: Job) -> list[list[float]]:
    """Seconds of every run of every action; what else the machine does falls on all of them."""
    seconds: list[list[float]] = [[] for _ in actions]
    for number in range(runs):
        for action, found in zip(actions, seconds, strict=True):
            start = time.perf_counter()
            action()
            found.append(time.perf_counter() - start)
            job.check()
        job.progress(number + 1, runs, "timing")
    return seconds


def _timing(subject: Subject, seconds: list[float], nodes: int, job: Job) -> Timing:
    median = statistics.median(seconds)
    return Timing(
        median_ms=1e3 * median,
        p90_ms=1e3 * float(np.percentile(seconds, 90)),
        throughput=subject.batch / median,
        nodes=_slowest(subject, nodes, job) if nodes else (),
        peak_bytes=subject.peak_bytes,
    )


def _onednn_note() -> str:
    if not onednn_is_asked_for():
        return ""
    return f"timed with oneDNN, which TensorFlow by itself leaves off on this processor ({ONEDNN}=0 times that)"


def _batch_note(subject: Subject, batch: int) -> str:
    if subject.batch == batch:
        return ""
    return f"{Path(subject.model.ref.path).name} has a fixed batch of {subject.batch}; it was timed with that"


def _processors() -> int:
    """What TensorFlow makes its threads for."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- nodes -----------------------------------------------------------------------------------------------------------


def _slowest(subject: Subject, count: int, job: Job) -> tuple[tuple[str, str, float], ...]:
    """The nodes with the longest median time: name, kernel, milliseconds."""
    traced = subject.model.loaded.prepared(subject.fetches, subject.feeds, traced=True)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(TRACED_RUNS):
        job.progress(number, TRACED_RUNS, "timing each node")
        metadata = tf.compat.v1.RunMetadata()
        traced(run_metadata=metadata)
        for key, milliseconds in _node_times(metadata.step_stats, subject.model.graph).items():
            found[key].append(milliseconds)
    medians = [(name, kernel, statistics.median(times)) for (name, kernel), times in found.items()]
    return tuple(sorted(medians, key=lambda entry: (-entry[2], entry[0]))[:count])


def _node_times(stats: Any, graph: ModelGraph) -> dict[tuple[str, str], float]:
    """Node and kernel -> milliseconds in one run, all rounds of a loop together.

    Kernels that Grappler made are named for a node of the graph, with a suffix or prefix of its own; what has none (the
    passing of inputs and outputs) is left out.
    """
    total: dict[tuple[str, str], float] = defaultdict(float)
    for device in stats.dev_stats:
        for entry in device.node_stats:
            name = _name_in_graph(entry.node_name, graph)
            if name:
                kernel = entry.timeline_label.partition(" = ")[2].partition("(")[0] or graph[name].op
                total[name, kernel] += (entry.op_end_rel_nanos - entry.op_start_rel_nanos) / 1e6
    return total


def _name_in_graph(name: str, graph: ModelGraph) -> str:
    """The node that a kernel's name stands for; empty where there is none."""
    parts = name.partition(":")[0].split("/")
    candidates = ["/".join(parts[start:]) for start in range(len(parts))]  # ConstantFolding/NODE
    candidates += ["/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]  # NODE/LayoutOptimizer
    return next((candidate for candidate in candidates if candidate in graph), "")


# --- memory ----------------------------------------------------------------------------------------------------------


def _forget_peak() -> None:
    """Give freed memory back and start the process's peak anew, where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """The most resident memory that the process had, in bytes (VmHWM); 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
