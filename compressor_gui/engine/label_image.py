"""The top classes of pictures, as TensorFlow's ``label_image`` tells them, the original's beside the compressed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np

from compressor_gui.core import metrics
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import LabelImage, Prediction, Predictions
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import Batch
from compressor_gui.engine.models import load_model
from compressor_gui.engine.runner import Runner, as_scores, check_names, open_examples

Top = list[tuple[tuple[int, str, float], ...]]
"""The top classes of each example of a batch."""


def label_image(request: LabelImage, job: Job) -> Predictions:
    """See LabelImage. Raises CompressorError where no output has a score for each class."""
    with contextlib.ExitStack() as stack:
        job.progress(0, 0, "loading the model")
        model = Runner(stack.enter_context(load_model(request.model)))
        original = Runner(stack.enter_context(load_model(request.against))) if request.against else None
        data = open_examples(request.data, (original or model).graph, batch=8)
        items: list[Prediction] = []
        taken = ""
        for batch in data:
            job.progress(len(items), max(0, data.count), "predicting")
            taken, top = _top(model, batch, request, data.classes)
            against = _top(original, batch, request, data.classes)[1] if original else [()] * len(batch)
            for at, source in enumerate(batch.sources):
                label = -1 if batch.labels is None else int(batch.labels[at])
                items.append(Prediction(source, label, top[at], against[at]))
    return Predictions(tuple(items), tuple(data.skipped), taken)


def _top(model: Runner, batch: Batch, request: LabelImage, classes: Sequence[str]) -> tuple[str, Top]:
    """The name of the output with the scores, and the best of them."""
    values = model.run(batch)
    at = model.scores(values, request.output, len(classes))
    scores = as_scores(values[at])
    if scores is None or len(scores) != len(batch):
        raise CompressorError(f"the output {model.names[at]!r} has no score for each class", where=model.ref.path)
    check_names(request.data, classes, values[at], model.names[at])
    best = metrics.top_k(scores, request.top)
    return model.names[at], [
        tuple((int(c), _name(int(c), classes), _finite(row[c])) for c in top)
        for row, top in zip(scores, best, strict=True)
    ]


def _name(number: int, classes: Sequence[str]) -> str:
    return classes[number] if number < len(classes) else f"class {number}"


def _finite(score: np.floating) -> float:
    """A score that JSON can say."""
    return float(np.nan_to_num(score))
