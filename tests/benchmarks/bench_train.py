"""A frozen graph trained beside the same network in ``tf.keras``, on the same digits, in turns in one process.

The frozen graph also multiplies its weights by masks, which Keras does not.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as PruneRetrain asks for

from compressor_gui.core import pbio
from compressor_gui.core.data import guess
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.serve import Job
from compressor_gui.core.training import Goal, Optimizing, PruneRetrain
from compressor_gui.engine.session import tf
from compressor_gui.engine.train.setup import Setup
from compressor_gui.engine.train.trainer import deterministic
from tests.benchmarks.report import Row, main

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"
LIMIT = 1 / 0.8
"""Of Keras's time."""
TURNS = 9


def lenet_300_100() -> list[Any]:
    """The layers of the sample."""
    layers = tf.keras.layers
    return [layers.Flatten(), *(layers.Dense(n, activation="relu") for n in (300, 100)), layers.Dense(10)]


def lenet_5() -> list[Any]:
    """The layers of the sample."""
    layers = tf.keras.layers
    convolutions = [f for n in (20, 50) for f in (layers.Conv2D(n, 5, activation="relu"), layers.MaxPool2D())]
    return [*convolutions, layers.Flatten(), layers.Dense(500, activation="relu"), layers.Dense(10)]


def epochs(name: str, layers: Callable[[], list[Any]]) -> tuple[float, float]:
    """Seconds of an epoch on the digits that come with the samples, here and in Keras: medians of turns."""
    path = SAMPLES / f"{name}.pb"
    graph = pbio.read_graph(path)
    how = Optimizing(weight_decay=1e-3)
    data = guess(graph, SAMPLES)
    with tempfile.TemporaryDirectory(prefix="compressor-bench-") as folder, deterministic():
        request = PruneRetrain(
            model=ModelRef(str(path)), data=data, test=data, goal=Goal(ratio=2), optimizing=how, checkpoint=folder
        )
        setup = Setup(request, graph, Job(1, lambda *_: None))
        trainer = setup.trainer()
        network = tf.keras.Sequential([tf.keras.Input((28, 28, 1)), *layers()])
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(tf.keras.optimizers.AdamW(1e-3, weight_decay=1e-3), loss)
        ours: list[float] = []
        keras: list[float] = []
        for turn in range(TURNS + 1):
            start = time.perf_counter()
            for _ in trainer.epoch(turn, lambda _: 1e-3):
                pass
            middle = time.perf_counter()
            network.fit(setup.train.values, setup.train.targets, batch_size=how.batch, verbose=0)
            ours.append(middle - start)
            keras.append(time.perf_counter() - middle)
    return statistics.median(ours[1:]), statistics.median(keras[1:])  # the first compiles


def rows() -> Iterator[Row]:
    for name, layers in (("lenet-300-100", lenet_300_100), ("lenet-5", lenet_5)):
        ours, keras = epochs(name, layers)
        note = f"{1000 / ours:,.0f} digits/s, Keras {1000 / keras:,.0f}"
        yield Row(f"{name}: an epoch, against tf.keras", ours / keras, "x", LIMIT, note)


if __name__ == "__main__":
    main("Training: a frozen graph beside tf.keras", rows)
