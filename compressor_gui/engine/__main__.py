"""The engine's process: ``python -m compressor_gui.engine`` answers jobs on standard input (see core/protocol.py)."""

from __future__ import annotations

import os
import platform

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import CheckExport, EngineInfo, ExportCheck, Hello
from compressor_gui.core.serve import Job, serve


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


def _check_export(request: CheckExport, job: Job) -> ExportCheck:
    job.progress(0, 0, "starting TensorFlow")
    _need_tensorflow()
    from compressor_gui.engine.check import check_export

    return check_export(request, job)


if __name__ == "__main__":
    serve({Hello: _hello, CheckExport: _check_export})
