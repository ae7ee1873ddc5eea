"""Arrow arrays from numpy and from text, without copies.

They are made from buffers: pyarrow's own conversion imports pandas wherever it is installed, a third
of a second that an ingest would pay for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    import pyarrow as pa
    from numpy.typing import NDArray


def column(values: NDArray[np.generic]) -> pa.Array:
    """A one-dimensional numeric array as it is."""
    import pyarrow as pa

    contiguous = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(contiguous.dtype)
    return pa.Array.from_buffers(kind, len(contiguous), [None, pa.py_buffer(contiguous)])


def numbers(values: Sequence[float | bool | None] | NDArray[Any], kind: str) -> pa.Array:
    """Numbers of one numpy type from Python's own, or ``bool``; None is NULL. An array has none."""
    import pyarrow as pa

    if isinstance(values, np.ndarray):
        return column(values.astype(kind))
    known = np.asarray([value is not None for value in values], dtype=bool)
    filled = np.asarray([0 if value is None else value for value in values], dtype=kind)
    if kind == "bool":
        return pa.Array.from_buffers(pa.bool_(), len(filled), [_bits(known), _bits(filled)])
    data = pa.py_buffer(np.ascontiguousarray(filled))
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(filled.dtype), len(filled), [_bits(known), data]
    )


def texts(values: Sequence[str | None]) -> pa.Array:
    """Strings as UTF-8; None is NULL."""
    import pyarrow as pa

    known = np.asarray([value is not None for value in values], dtype=bool)
    encoded = [(value or "").encode("utf-8") for value in values]
    buffers = [_bits(known), _offsets(encoded), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def text_lists(values: Sequence[Sequence[str]]) -> pa.Array:
    """Lists of strings."""
    import pyarrow as pa

    members = texts([text for each in values for text in each])
    return pa.Array.from_buffers(
        pa.list_(pa.string()), len(values), [None, _offsets(values)], children=[members]
    )


def row_lists(matrix: NDArray[np.generic]) -> pa.Array:
    """The rows of a matrix as lists."""
    import pyarrow as pa

    n, dim = matrix.shape
    offsets = np.arange(0, n * dim + 1, dim, dtype=np.int32)
    return pa.ListArray.from_arrays(column(offsets), column(matrix.reshape(-1)))


def _offsets(parts: Sequence[Sized]) -> pa.Buffer:
    """Where each part begins and the last one ends."""
    import pyarrow as pa

    return pa.py_buffer(
        np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int32)
    )


def _bits(flags: NDArray[np.bool_]) -> pa.Buffer | None:
    """Booleans as Arrow packs them."""
    import pyarrow as pa

    return pa.py_buffer(np.packbits(flags, bitorder="little"))
