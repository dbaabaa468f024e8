"""What TensorFlow Lite makes of the same float graph: its own float and full int8 (per channel, XNNPACK), to be timed
and compared beside the fused graph. It comes with TensorFlow; other peers are quoted in the benchmark's limits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.pbio import to_bytes
from tests.support import tensorflow

THREADS = 2


class TensorFlowLite:
    """A graph of one input as TensorFlow Lite runs it; ``examples``, of batch 1: to quantize it by, None: in float.

    Raises what the converter raises where it has no counterpart for an operation.
    """

    def __init__(self, model: ModelGraph, examples: Sequence[np.ndarray] | None) -> None:
        tf = tensorflow()
        with warnings.catch_warnings(), tf.Graph().as_default() as loaded:
            warnings.simplefilter("ignore")
            tf.compat.v1.import_graph_def(tf.compat.v1.GraphDef.FromString(to_bytes(model)), name="")
            with tf.compat.v1.Session(graph=loaded) as session:
                ends = [[loaded.get_tensor_by_name(f"{n}:0") for n in names] for names in (model.inputs, model.outputs)]
                converter = tf.compat.v1.lite.TFLiteConverter.from_session(session, *ends)
                if examples is not None:
                    converter.optimizations = [tf.lite.Optimize.DEFAULT]
                    converter.representative_dataset = lambda: ([example] for example in examples)
                    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                self._content = converter.convert()
            self._outputs = model.outputs

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._content)

    def runner(self, shape: Sequence[int]) -> Callable[[np.ndarray], Any]:
        """Runs it on inputs of a shape, without fetching what it computes."""
        interpreter = self._interpreter(shape)
        (entry,) = interpreter.get_input_details()

        def run(picture: np.ndarray) -> None:
            interpreter.set_tensor(entry["index"], picture)
            interpreter.invoke()

        return run

    def values(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Output -> what it computes."""
        interpreter = self._interpreter(picture.shape)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
        interpreter.invoke()
        found = [np.array(interpreter.get_tensor(entry["index"])) for entry in interpreter.get_output_details()]
        return dict(zip(self._outputs, found, strict=True))

    def _interpreter(self, shape: Sequence[int]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interpreter = tensorflow().lite.Interpreter(model_content=self._content, num_threads=THREADS)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], list(shape))
        interpreter.allocate_tensors()
        return interpreter
