"""Permutations, bootstrap weights, and what follows from them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LEVEL = 0.95  # of every interval
_ROW_BLOCKS = 6  # a permuted matrix is read in stripes, of which only the upper part is needed
_NARROW = 200  # classes up to which sums are in double precision: ties are frequent there
_LEAST_VALID = 0.9  # of the resamples that must have given a value, or there is no interval

T = TypeVar("T")


def permutations(n: int, count: int, seed: int) -> NDArray[np.int32]:
    """``count`` random orders of n classes (count×n), the same for the same seed."""
    random = np.random.default_rng([seed, 1])
    orders = np.empty((count, n), dtype=np.int32)
    for order in orders:
        order[:] = random.permutation(n)
    return orders


def bootstrap_weights(n: int, count: int, seed: int) -> NDArray[np.float64]:
    """How often each of n classes is drawn in ``count`` resamples of n with replacement (count×n)."""
    random = np.random.default_rng([seed, 2])
    return random.multinomial(n, np.full(n, 1 / n), size=count).astype(np.float64)


def in_threads(work: Callable[[NDArray], T], items: NDArray) -> list[T]:  # type: ignore[type-arg]
    """``work`` on equal parts of ``items``, one a core, in their order."""
    parts = [part for part in np.array_split(items, min(os.cpu_count() or 1, 8)) if len(part)]
    if len(parts) < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(work, parts))


class PermutedProducts:
    """Sums of X[a, b] · Y[p[a], p[b]] over a < b, of two symmetric n×n matrices and orders p.

    In single precision beyond a few hundred classes: good to about 1e-6 of ‖X‖·‖Y‖.
    """

    def __init__(self, X: NDArray[np.floating], Y: NDArray[np.floating]) -> None:
        n = len(X)
        kind = np.float64 if n <= _NARROW else np.float32
        self._Y = np.ascontiguousarray(Y, dtype=kind)
        # heavy rows first: what is then left of a sum is small, and is bounded, the sooner
        self._first = np.argsort(-np.einsum("ij,ij->i", X, X), kind="stable")
        above = np.triu(X[np.ix_(self._first, self._first)], 1)
        edges = [n * block // _ROW_BLOCKS for block in range(_ROW_BLOCKS + 1)]
        self._stripes: list[tuple[int, int, NDArray[np.floating]]] = [
            (start, stop, np.ascontiguousarray(above[start:stop, start:], dtype=kind))
            for start, stop in pairwise(edges)
            if stop > start
        ]
        self._left = [float(np.linalg.norm(above[stop:, stop:])) for _, stop, _ in self._stripes]
        self._rows = np.einsum("ij,ij->i", Y, Y)

    def of(self, orders: NDArray[np.int32], enough: float = -np.inf) -> NDArray[np.float64]:
        """The sum for each order (B×n), as (B,).

        A sum that is sure to stay below ``enough`` may come out as any number below it: by the
        inequality of Cauchy and Schwarz, once the rest of both matrices is too small to lift it.
        """

        def work(part: NDArray[np.int32]) -> list[float]:
            rows = np.empty_like(self._Y)
            taken = [np.empty_like(stripe) for _, _, stripe in self._stripes]
            return [self._sum(order[self._first], enough, rows, taken) for order in part]

        return np.asarray([each for part in in_threads(work, orders) for each in part])

    def _sum(
        self,
        order: NDArray[np.int32],
        enough: float,
        rows: NDArray[np.floating],
        taken: list[NDArray[np.floating]],
    ) -> float:
        places = order.astype(np.intp)
        # of the pairs of the classes from a place on: each stands in two rows
        tails = np.sqrt(self._rows[places][::-1].cumsum()[::-1] / 2)
        total = 0.0
        for (start, stop, stripe), left, buffer in zip(
            self._stripes, self._left, taken, strict=True
        ):
            some = rows[: stop - start]
            # rows first: they are copied whole, and the columns are then read from the cache
            np.take(self._Y, places[start:stop], axis=0, out=some, mode="clip")
            np.take(some, places[start:], axis=1, out=buffer, mode="clip")
            # row by row: not by BLAS, whose own threads would get in the way of these
            sums: NDArray[np.floating] = np.einsum("ij,ij->i", stripe, buffer)
            total += float(sums.sum(dtype=np.float64))
            bound = total + left * float(tails[stop] if stop < len(tails) else 0.0)
            if bound < enough:
                return bound
        return total


def p_value(permuted: NDArray[np.floating], observed: float) -> float:
    """The share of permutations at least as large as what was observed: (b+1)/(B+1).

    One-sided: is there more agreement than between heads whose classes are matched at random? Sums
    of the same numbers in another order count as equal.
    """
    return (int(at_least(permuted, observed).sum()) + 1) / (len(permuted) + 1)


def at_least(
    values: NDArray[np.floating], observed: float | NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Which values are as large as what was observed, or smaller by rounding alone."""
    slack = 2e-6 * np.maximum(np.abs(values), np.abs(observed))
    reached: NDArray[np.bool_] = values >= observed - slack
    return reached


def percentile_interval(
    resampled: NDArray[np.floating],
    estimate: float,
    bounds: tuple[float, float],
    share: float = 1.0,
) -> tuple[float, float] | None:
    """The 95 % interval of an estimate from its resamples (R,), within ``bounds``.

    Resamples are taken about their mean, so that the bias of a resample is not added to the
    estimate's own; ``share`` scales them. None where a resample in ten has no value.
    """
    valid = resampled[np.isfinite(resampled)]
    if not len(valid) or len(valid) < _LEAST_VALID * len(resampled):
        return None
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = estimate + share * (np.quantile(valid, tails) - valid.mean())
    return float(np.clip(low, *bounds)), float(np.clip(high, *bounds))


def dyadic_share(
    resampled: NDArray[np.floating], halfway: NDArray[np.floating], estimate: float
) -> float:
    """By how much resamples of classes are to be shrunk where the statistic is over pairs of them.

    A resample weighs the pair of classes i, j with w_i·w_j. Of what varies between heads, the part
    that belongs to classes then counts once, but noise that belongs to single pairs three times: twice
    through their classes and once through the product (Menzel 2021, Econometrica 89, on dyadic data).
    ``halfway`` holds the statistic at the weights (1+w)/2: the part linear in the weights is there
    one half and the product's one quarter of what it is in ``resampled`` (both (R,)), which tells them
    apart. With their variances A and B, that of the estimate is A - B, and never less than B, that of
    pairs that are independent. Returns the ratio of the standard deviations, at most 1.
    """
    full, half = resampled - estimate, halfway - estimate
    valid = np.isfinite(full) & np.isfinite(half)
    linear = (4 * half - full)[valid]
    product = (2 * full - 4 * half)[valid]
    whole = float(np.var(full[valid])) if valid.any() else 0.0
    if not whole > 0:
        return 1.0
    of_classes, of_pairs = float(np.var(linear)), float(np.var(product))
    return min(1.0, float(np.sqrt(max(of_classes - of_pairs, of_pairs) / whole)))
