"""A graph loaded in stock TensorFlow, and its messages made short."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Self

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import numpy as np
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import config_pb2

from compressor_gui.core import pbio
from compressor_gui.core.caution import CPU_DEVICES, REMAPPER
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.machine import ONEDNN

if devices := os.environ.get(CPU_DEVICES):
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * int(devices)
    )

__all__ = ["HOPELESS", "TF_ERRORS", "VERSION", "LoadedGraph", "brief", "failure", "plain", "tf"]

TF_ERRORS = (tf.errors.OpError, ValueError, TypeError, KeyError)
"""What loading and running a graph may raise."""

HOPELESS = (tf.errors.UnimplementedError, tf.errors.NotFoundError, tf.errors.ResourceExhaustedError)
"""Those of them that another input can't mend."""

VERSION: str = tf.__version__

REMAPPING = os.environ.get(REMAPPER) != "0"
"""Whether Grappler's remapper is on in this process."""

NO_ONEDNN = "Missing 0-th output"
"""What TensorFlow says where oneDNN is off and a fused 8-bit kernel needs it. The engine has it on, unless the user's
environment or a crash has turned it off; before oneDNN a crash turns the remapper off (:mod:`.core.caution`)."""
ONEDNN_IS_OFF = f"an operation needs oneDNN, which {ONEDNN}=0 turns off: unset it, or set it to 1"
ONEDNN_CRASHED = "an operation needs oneDNN, which had to be left out since TensorFlow crashed on this graph with it"

_UNSENT = (tf.resource, tf.variant)


class LoadedGraph:
    """A GraphDef imported into a TensorFlow graph, with a session on it."""

    def __init__(self, data: bytes, graph: ModelGraph, *, where: str) -> None:
        """``data`` are the file's bytes, ``graph`` what the core read from them.

        Raises CompressorError where TensorFlow refuses the graph.
        """
        try:
            definition = tf.compat.v1.GraphDef.FromString(data)
        except DecodeError:  # it is the text form
            definition = tf.compat.v1.GraphDef.FromString(pbio.to_bytes(graph))
        self._config = tf.compat.v1.ConfigProto()
        if not REMAPPING:
            self._config.graph_options.rewrite_options.remapping = 2  # RewriterConfig.OFF
        self.where = where
        self._graph = tf.Graph()
        with self._graph.as_default(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tf.compat.v1.import_graph_def(definition, name="")
            except TF_ERRORS as error:
                raise failure(error, "TensorFlow does not load this graph", where) from None
        self._session = tf.compat.v1.Session(graph=self._graph, config=self._config)

    def renew(self) -> None:
        """Give memory back: a session keeps an optimized copy of the graph, constants and all, for every set of feeds
        and fetches that ran in it."""
        self._session.close()
        self._session = tf.compat.v1.Session(graph=self._graph, config=self._config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def tensors(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Node -> its output tensors that can be fetched."""
        ops = {name: self._graph.get_operation_by_name(name) for name in names}
        return {name: [t.name for t in op.outputs if t.dtype.base_dtype not in _UNSENT] for name, op in ops.items()}

    @property
    def session(self) -> Any:
        """The session, for what TensorFlow does with one: converters, savers."""
        return self._session

    def tensor(self, name: str) -> Any:
        """The symbolic tensor ``name:port``."""
        return self._graph.get_tensor_by_name(name)

    def can_feed(self, tensor: str) -> bool:
        """Whether the tensor (``name:port``) can leave the session and come back."""
        return self._graph.get_tensor_by_name(tensor).dtype.base_dtype not in _UNSENT

    def run(self, fetches: list[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The fetched tensors; of ``feeds`` (node or ``name:port``), what this graph lacks is left out. Raises what
        TensorFlow raises."""
        return [np.asarray(value) for value in self._session.run(fetches, self._fed(feeds))]

    def prepared(
        self, fetches: list[str], feeds: Mapping[str, np.ndarray], *, traced: bool = False
    ) -> Callable[..., Any]:
        """A call that runs the same again; when ``traced`` it takes a ``run_metadata``, and every kernel is timed.

        It is the session's own callable, the one that Keras was made of: it takes 0.1 ms less than ``run``.
        """
        fed = self._fed(feeds)
        options = config_pb2.CallableOptions(fetch=fetches, feed=[tensor.name for tensor in fed])
        if traced:
            options.run_options.trace_level = config_pb2.RunOptions.FULL_TRACE
        return partial(self._session._make_callable_from_options(options), *fed.values())

    def _fed(self, feeds: Mapping[str, np.ndarray]) -> dict[Any, np.ndarray]:
        fed: dict[Any, np.ndarray] = {}
        for name, value in feeds.items():
            try:
                tensor = self._graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
            except KeyError:
                continue
            fed[tensor] = _as_fed(value, tensor.dtype)
        return fed


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what TensorFlow says about the age of interfaces and formats that have no others yet."""
    logger = tf.get_logger()
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def _as_fed(value: np.ndarray, dtype: Any) -> np.ndarray:
    """``value`` as the session takes it: TensorFlow's quantized types are numpy structures of one integer."""
    wanted = dtype.as_numpy_dtype
    return value.view(wanted) if dtype.is_quantized else value


def plain(value: np.ndarray) -> np.ndarray:
    """A fetched value, quantized types as the integers they are made of."""
    return value.view(value.dtype[0]) if value.dtype.names else value


def failure(error: BaseException, what: str, where: str) -> CompressorError:
    """TensorFlow's message as one sentence."""
    words = brief(error)
    needs = ONEDNN_IS_OFF if REMAPPING else ONEDNN_CRASHED
    return CompressorError(f"{what}: {words}", where=where, hint=needs if NO_ONEDNN in words else "")


def brief(error: BaseException) -> str:
    """The first sentence of a TensorFlow message, without the traces that Python's layer wraps it in."""
    if isinstance(error.__context__, tf.errors.OpError):
        error = error.__context__  # as the runtime said it
    text = getattr(error, "message", "") or str(error.args[0] if error.args else error)
    lines = [line.strip() for line in text.splitlines() if line.strip() and " root error(s) found" not in line]
    first = re.sub(r"^\(\d+\) |\[\[\{\{node [^\]]*\]\]", "", lines[0] if lines else type(error).__name__).strip()
    node = re.search(r"\{\{node ([^}]+)\}\}", text)
    place = f" (node {node[1]!r})" if node and node[1] not in first else ""
    return (first[:297] + "..." if len(first) > 300 else first).rstrip(". ") + place
