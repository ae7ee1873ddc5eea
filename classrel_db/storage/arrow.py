"""Arrow arrays from numpy and from text, without copies.

They are made from buffers: pyarrow's own conversion imports pandas wherever it is installed, a third
of a second that an ingest would pay for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray


def column(values: NDArray[np.generic]) -> pa.Array:
    """A one-dimensional numeric array as it is."""
    import pyarrow as pa

    contiguous = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(contiguous.dtype)
    return pa.Array.from_buffers(kind, len(contiguous), [None, pa.py_buffer(contiguous)])


def texts(values: Sequence[str]) -> pa.Array:
    """Strings as UTF-8."""
    import pyarrow as pa

    encoded = [value.encode("utf-8") for value in values]
    offsets = np.concatenate([[0], np.cumsum([len(e) for e in encoded])]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)
