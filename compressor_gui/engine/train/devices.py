"""Several devices that train one network: TensorFlow's own strategies, chosen by a word.

Empty: one device. ``mirrored``: all GPUs of this machine, each with a part of every batch; ``mirrored:N``: N parts of
its processor (for tests: it is not faster).
"""

from __future__ import annotations

from typing import Any

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.training import cpu_devices
from compressor_gui.engine.session import TF_ERRORS, brief, tf


def open_strategy(wanted: str, batch: int) -> Any:
    """The strategy of that name; it has to be opened before TensorFlow does anything else.

    Raises CompressorError where there is none, or a batch can't be cut into as many parts.
    """
    kind, _, _ = wanted.partition(":")
    try:
        if kind == "mirrored":
            count = cpu_devices(wanted)
            strategy = tf.distribute.MirroredStrategy([f"/cpu:{at}" for at in range(count)] or None)
        elif not wanted:
            strategy = tf.distribute.get_strategy()
        else:
            hint = "use mirrored or mirrored:N"
            raise CompressorError(f"there is no strategy {wanted!r}", where="strategy", hint=hint)
    except (*TF_ERRORS, RuntimeError) as error:
        raise CompressorError(f"these devices can't be used: {brief(error)}", where="strategy") from None
    parts = strategy.num_replicas_in_sync
    if batch % parts:
        hint = f"choose a multiple of {parts}"
        raise CompressorError(f"a batch of {batch} can't be cut into {parts} equal parts", where="batch", hint=hint)
    return strategy
