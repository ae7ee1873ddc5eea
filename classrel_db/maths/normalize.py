"""Normalisations of a head, and their exact undoing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.records import NORMALIZATIONS, Normalization
from classrel_db.scratch import release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LARGEST = 1e18  # of a weight; the squares of larger ones leave float32
_NOISE = 2.0**-22  # four units in the last place of a float32, relative
_BLOCK_BYTES = 64 << 20  # a block of float64 rows; bounds the memory beyond input and output


@dataclass(frozen=True, slots=True)
class NormalizedHead:
    """A normalised head with what is needed to get the raw one back (see :func:`recover`).

    ``rows`` C×D float32; ``mean`` and ``std`` (C,) of each raw row (sample standard deviation,
    ddof=1); ``norm`` (C,) the Euclidean length of each stored row; ``scale`` (C,) what each row was
    divided by; ``center`` (D,) what was subtracted from every row, None unless ``center``.
    """

    method: Normalization
    rows: NDArray[np.float32]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    norm: NDArray[np.float64]
    scale: NDArray[np.float64]
    center: NDArray[np.float64] | None


def row_blocks(n_rows: int, row_length: int, block_bytes: int = _BLOCK_BYTES) -> Iterator[slice]:
    """Slices that cover ``n_rows`` rows of ``row_length`` float64 values in blocks of that size."""
    step = max(1, block_bytes // (8 * max(1, row_length)))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def faulty_rows(W: NDArray[np.float32]) -> list[tuple[int, str]]:
    """Rows that have no direction to compare, as (row, reason), in order.

    A row with NaN or Inf has no cosine, and the distances of rows beyond ±1e18 overflow. A constant
    row has zero variance and can't be standardised; an all-zero row has no direction under any normalisation.
    """
    faults: list[tuple[int, str]] = []
    for block in row_blocks(*W.shape):
        part = W[block]
        # the extremes carry NaN and Inf along, so two reductions answer for every row
        low, high = part.min(axis=1), part.max(axis=1)
        usable = (low >= -LARGEST) & (high <= LARGEST) & (low != high)
        suspects = np.flatnonzero(~usable)
        for row in suspects:
            values = part[row]
            if np.isnan(values).any():
                reason = "holds NaN"
            elif np.isinf(values).any():
                reason = "holds Inf"
            elif values.min() != values.max():
                reason = f"holds a value beyond ±{LARGEST:.0e}"
            elif values[0] == 0:
                reason = "is all zero"
            else:
                reason = "is constant (zero variance)"
            faults.append((block.start + int(row), reason))
        release(W)
    return faults


def normalize(
    W: NDArray[np.float32], method: Normalization, out: NDArray[np.float32] | None = None
) -> NormalizedHead:
    """Normalise a head, C×D with D ≥ 2 and no faulty row (see :func:`faulty_rows`), into ``out`` if given.

    - ``standardize``: each row minus its mean, divided by its sample standard deviation (ddof=1).
      Every norm is then sqrt(D-1) and Euclidean distance a function of the cosine.
    - ``center``: the mean over classes is subtracted from every row, then each row is scaled to
      unit length. Softmax is unchanged by adding one vector to every row, so that mean carries no
      meaning.
    - ``none``: the rows as they are.

    Raises ValueError for an unknown method.
    """
    if method not in NORMALIZATIONS:
        raise ValueError(f"method is {method!r}; accepted: {', '.join(NORMALIZATIONS)}")
    n_classes, dim = W.shape
    center = W.mean(axis=0, dtype=np.float64) if method == "center" else None
    release(W)
    rows = np.empty((n_classes, dim), dtype=np.float32) if out is None else out
    mean, std, norm, scale = (np.empty(n_classes) for _ in range(4))
    for block in row_blocks(n_classes, dim):
        part = W[block].astype(np.float64)
        mean[block] = part.mean(axis=1)
        std[block] = part.std(axis=1, ddof=1)
        scale[block] = 1.0
        before = np.abs(part).max(axis=1)
        if method == "standardize":
            scale[block] = std[block]
            part -= mean[block, None]
        elif center is not None:
            part -= center
            scale[block] = _lengths(part)
        # A row that equals what is subtracted leaves rounding noise at most: it becomes 0, and
        # the caller sees norm 0.
        part[np.abs(part).max(axis=1) <= _NOISE * before] = 0
        np.divide(part, scale[block, None], out=part, where=scale[block, None] > 0)
        rows[block] = part
        norm[block] = _lengths(rows[block].astype(np.float64))
        release(W, rows)
    return NormalizedHead(method, rows, mean, std, norm, scale, center)


def normalize_vector(
    vector: NDArray[np.floating], method: Normalization, center: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    """One vector (D,) of a model's raw feature space, normalised as that model's rows were.

    ``center`` is the model's own column mean. Raises ValueError when there is nothing to normalise:
    NaN, Inf, values beyond ±1e18 or all below 1e-18, constant, or equal to the center.
    """
    values = np.asarray(vector, dtype=np.float64)
    if not (np.abs(values) <= LARGEST).all():
        raise ValueError(f"the vector holds NaN, Inf or a value beyond ±{LARGEST:.0e}")
    if not (np.abs(values) >= 1 / LARGEST).any():
        raise ValueError(f"the vector is zero, or below {1 / LARGEST:.0e} everywhere")
    if method == "standardize":
        if values.min() == values.max():
            raise ValueError("the vector is constant (zero variance)")
        values = (values - values.mean()) / values.std(ddof=1)
    elif center is not None:
        values = values - center
        values = values / (np.linalg.norm(values) or 1.0)
    if not values.any():
        raise ValueError("the vector is zero after normalisation")
    return values


def recover(head: NormalizedHead) -> NDArray[np.float32]:
    """The raw head, C×D float32, to within float32 rounding of the stored rows."""
    raw = head.rows.astype(np.float64) * head.scale[:, None]
    if head.method == "standardize":
        raw += head.mean[:, None]
    elif head.center is not None:
        raw += head.center
    return raw.astype(np.float32)


def _lengths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths
