"""What sparse weights would take if only the non-zeros were stored."""

from __future__ import annotations

import math
from collections.abc import Iterable

from compressor_gui.core.layers import Layer


def csr_bytes(shape: tuple[int, ...], nonzero: int, value_bytes: int) -> int:
    """Bytes of a weight in compressed sparse row form.

    The weight is the matrix of its last axis against all others, as Han et al. 2015 store it: the non-zero values, a
    column index each (2 bytes up to 65,536 columns, else 4), and a 4-byte pointer a row.
    """
    columns = shape[-1] if shape else 1
    rows = math.prod(shape[:-1])
    index = 2 if columns <= 1 << 16 else 4
    return nonzero * (value_bytes + index) + 4 * (rows + 1)


def sparse_size(file_bytes: int, layers: Iterable[tuple[Layer, int]]) -> int:
    """Bytes of a file whose weights are stored dense or as CSR, whichever is smaller.

    ``layers`` gives each layer with its number of non-zero weights.
    """
    saved = 0
    for layer, nonzero in layers:
        dense = layer.parameters * layer.tensor.array.itemsize
        saved += max(0, dense - csr_bytes(layer.tensor.array.shape, nonzero, layer.tensor.array.itemsize))
    return file_bytes - saved
