"""The engine's process: ``python -m compressor_gui.engine`` answers jobs on standard input (see core/protocol.py)."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib import import_module
from typing import Any

from compressor_gui.core.adaround import Adaround
from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.channel_pruning import PruneChannels
from compressor_gui.core.choose import ChooseRegions
from compressor_gui.core.distilling import Distill
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import CheckExport, EngineInfo, Hello
from compressor_gui.core.measure import (
    Calibrate,
    Evaluate,
    ExportModel,
    ImportModel,
    LabelImage,
    Latency,
    Preview,
    Sensitivity,
)
from compressor_gui.core.mixed_job import FindPrecision
from compressor_gui.core.noise import LayerNoise
from compressor_gui.core.protocol import Request
from compressor_gui.core.serve import Handlers, Job, serve
from compressor_gui.core.training import PruneRetrain
from compressor_gui.core.transfer import Transfer


def _need_tensorflow() -> str:
    """Import TensorFlow, which takes seconds and so waits for the first job; returns its version."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        from compressor_gui.engine.session import VERSION
    except ImportError as error:
        raise CompressorError(f"TensorFlow can't be imported: {error}", hint="install the package tensorflow") from None
    return VERSION


def _hello(_request: Hello, _job: Job) -> EngineInfo:
    return EngineInfo(_need_tensorflow(), platform.python_version())


def _job(place: str) -> Callable[[Any, Job], Any]:
    """The handler at ``module.function``, where the module may lie in a package; imported when first needed."""

    def handle(request: Request, job: Job) -> Any:
        job.progress(0, 0, "starting TensorFlow")
        _need_tensorflow()
        module, _, function = place.rpartition(".")
        answer = getattr(import_module(f"compressor_gui.engine.{module}"), function)(request, job)
        return answer.after(request.caution) if isinstance(request, Cautious) and isinstance(answer, Ran) else answer

    return handle


HANDLERS: Handlers = {
    Hello: _hello,
    CheckExport: _job("check.check_export"),
    Preview: _job("preview.preview"),
    LabelImage: _job("label_image.label_image"),
    Evaluate: _job("evaluate.evaluate"),
    Latency: _job("latency.latency"),
    ImportModel: _job("import_model.import_model"),
    ExportModel: _job("export_model.export_model"),
    Calibrate: _job("calibrate.calibrate"),
    Sensitivity: _job("sensitivity.sensitivity"),
    PruneRetrain: _job("train.prune_retrain.prune_retrain"),
    FindPrecision: _job("mixed_precision.mixed_precision"),
    Adaround: _job("adaround.adaround"),
    LayerNoise: _job("noise.layer_noise"),
    PruneChannels: _job("train.prune_channels.prune_channels"),
    Distill: _job("train.distill.distill"),
    Transfer: _job("transfer.transfer"),
    ChooseRegions: _job("choose_regions.choose_regions"),
}

if __name__ == "__main__":
    serve(HANDLERS)
