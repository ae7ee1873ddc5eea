"""How the cosines of all pairs of rows are distributed, and what rows with nothing in common would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.similarity import cosine_blocks, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS = 200  # of 0.01 each, from -1 to 1
_FINE = 50  # parts of each bin, for quantiles


@dataclass(frozen=True)
class Distribution:
    """``fine`` counts of the cosines of ``pairs`` pairs, in bins of 0.0002 from -1 to 1; their ``mean``."""

    fine: NDArray[np.int64]
    pairs: int
    mean: float

    @property
    def edges(self) -> NDArray[np.float64]:
        """Those of the bins of 0.01 (201,), rounded to what they are."""
        return np.linspace(-1, 1, _BINS + 1).round(2)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Of the bins of 0.01 (200,); a cosine on an edge counts above it, 1 in the last."""
        found: NDArray[np.int64] = self.fine.reshape(_BINS, _FINE).sum(axis=1)
        return found

    def quantile(self, q: float) -> float:
        """The upper edge of the fine bin in which the share ``q`` is reached."""
        reached = int(np.searchsorted(np.cumsum(self.fine), q * self.pairs))
        return round(2 * (reached + 1) / len(self.fine) - 1, 4)

    def above(self, edge: float) -> float:
        """The share of pairs at or above the edge of a fine bin."""
        first = round((edge + 1) / 2 * len(self.fine))
        return float(self.fine[first:].sum() / self.pairs)


def binned_cosines(rows: NDArray[np.float32]) -> Distribution:
    """The cosines of all pairs of different rows (C×D, C > 1), counted in bins; by blocks of rows."""
    n = len(rows)
    fine = np.zeros(_BINS * _FINE, dtype=np.int64)
    total = 0.0
    for _, S in cosine_blocks(unit(rows)):
        above = np.arange(S.shape[1])[None, :] > np.arange(len(S))[:, None]
        cosines = S[above].astype(np.float64)
        total += float(cosines.sum())
        where = np.floor((cosines + 1) * (len(fine) / 2)).astype(np.int64)
        fine += np.bincount(np.minimum(where, len(fine) - 1), minlength=len(fine))
    pairs = n * (n - 1) // 2
    return Distribution(fine, pairs, total / pairs)


def shuffled(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The rows (C×D), the values of each in a random order of its own: the same norms, nothing in common."""
    return np.random.default_rng(seed).permuted(rows, axis=1)
