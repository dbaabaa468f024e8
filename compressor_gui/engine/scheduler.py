"""Where independent pieces of a job are computed: other processes of this machine, or a Dask cluster.

Both are :class:`concurrent.futures.Executor`. What all pieces share (the model's bytes, the data's description) is sent
to each process once, under a key; a piece names the key. A process that dies takes its piece with it, not the job: Dask
gives the piece to another worker, and that what is shared to workers that come later.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from typing import Any, TypeVar

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.serve import Stop

CONNECT_SECONDS = 10
RETRIES = 3
"""How often a piece is given out again, should its worker die."""

T = TypeVar("T")

_shared: dict[str, Any] = {}
_opened: dict[str, Any] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def open_executor(address: str, key: str, shared: object) -> Iterator[Executor]:
    """An executor whose pieces can get at ``shared`` by ``key`` (:func:`opened`).

    ``address`` is ``processes:N`` or that of a Dask scheduler (``tcp://host:port``, ``tls://...``). What is unfinished
    when the block is left is given up. Raises CompressorError where nothing answers there.
    """
    kind, _, rest = address.partition(":")
    if kind == "processes" and rest.isdecimal() and int(rest) > 0:
        with _own_processes(int(rest), key, shared) as executor:
            yield executor
    elif kind in ("tcp", "tls"):
        with _cluster(address, key, shared) as executor:
            yield executor
    else:
        raise CompressorError("this is no scheduler", where=address, hint="name tcp://HOST:PORT or processes:N")


@contextlib.contextmanager
def opened(key: str, make: Callable[[Any], T]) -> Iterator[T]:
    """In a piece: what ``make`` made of what is shared under ``key``, once in each process. Pieces in one process take
    turns with it. Raises Stop when the job is over.
    """
    with _lock:
        check_shared(key)
        if key not in _opened:
            _opened.clear()
            _opened[key] = make(_shared[key])
        yield _opened[key]


def check_shared(key: str) -> None:
    """Raise Stop when the job whose pieces share ``key`` is over."""
    if key not in _shared:
        raise Stop


def _share(key: str, shared: object) -> None:
    _shared[key] = shared


def _forget(key: str) -> None:
    _shared.pop(key, None)
    _opened.pop(key, None)


# -- processes ----------------------------------------------------------------------------------------


def _start_process(key: str, shared: object) -> None:
    _share(key, shared)
    parent = multiprocessing.parent_process()
    if parent is not None:  # one whose parent was killed would wait for work for ever
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _own_processes(count: int, key: str, shared: object) -> Iterator[Executor]:
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads don't live through a fork
    executor = ProcessPoolExecutor(count, context, _start_process, (key, shared))
    try:
        yield executor
    except BrokenExecutor:
        hint = "it may have run out of memory; use fewer"
        raise CompressorError("a process died at its work", where=f"processes:{count}", hint=hint) from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        executor.shutdown()


# -- a cluster ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _cluster(address: str, key: str, shared: object) -> Iterator[Executor]:
    try:
        from distributed import Client, KilledWorker, WorkerPlugin
    except ImportError:
        words = "the package distributed is missing, which talks to Dask schedulers"
        raise CompressorError(words, where=address, hint="pip install 'compressor-gui[cluster]'") from None

    gone = (CancelledError, OSError)  # Dask's errors of connections are OSErrors

    class Share(WorkerPlugin):  # type: ignore[misc]
        """Comes to every worker once, also to those that start later."""

        def setup(self, worker: object) -> None:
            _share(key, shared)

        def teardown(self, worker: object) -> None:
            _forget(key)

    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise CompressorError(f"no Dask scheduler answers: {error}", where=address) from None
    try:
        client.register_plugin(Share(), name=key)
        try:
            yield client.get_executor(retries=RETRIES, pure=False)
        finally:
            with contextlib.suppress(*gone):
                client.unregister_worker_plugin(key)
    except KilledWorker as error:
        raise CompressorError(f"the work killed every worker that it was given to: {error}", where=address) from None
    except gone:
        raise CompressorError("the scheduler is gone", where=address, hint="start it and ask again") from None
    finally:
        client.close()
