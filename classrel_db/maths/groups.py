"""Many models at once: groups of them, their order, and how well any model could do."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from classrel_db.maths.geometry import upper
from classrel_db.maths.measures.correlation import scores
from classrel_db.maths.resample import at_least
from classrel_db.maths.trees.linkage import link, optimal_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_ALL_ORDERS = 5_000  # groupings up to which every one is tried


class Grouping(NamedTuple):
    """How much more alike models of one group are than models of two.

    ``within`` and ``between`` are means over pairs of models, ``p_value`` is one-sided: the share of
    ``tried`` groupings of the same sizes, this one among them, with at least this difference.
    """

    within: float
    between: float
    difference: float
    p_value: float
    tried: int


def group_difference(
    matrix: NDArray[np.floating], groups: Sequence[int], permuted: int, seed: int
) -> Grouping:
    """The mean within groups less the mean between them, of a symmetric m×m matrix of agreement.

    NaN in the matrix (models without a comparison) is left out. The test permutes models, not pairs
    of them (Anderson 2001, Austral Ecology 26); all groupings are tried where there are few.
    NaN where there is no pair within, or none between.
    """
    labels = np.asarray(groups)
    above = np.triu_indices(len(labels), 1)
    values = np.asarray(matrix, dtype=np.float64)[above]
    known = np.isfinite(values)
    values, first, second = values[known], above[0][known], above[1][known]

    def parts(order: NDArray[np.int64]) -> tuple[float, float]:
        same = labels[order][first] == labels[order][second]
        within = float(values[same].mean()) if same.any() else float("nan")
        between = float(values[~same].mean()) if (~same).any() else float("nan")
        return within, between

    within, between = parts(np.arange(len(labels)))
    difference = within - between
    if not np.isfinite(difference):
        return Grouping(within, between, difference, float("nan"), 0)
    orders = list(_orders(labels, permuted, seed))
    tried = np.asarray([np.subtract(*parts(order)) for order in orders])
    tried = tried[np.isfinite(tried)]
    exact = _arrangements(labels) <= _ALL_ORDERS
    as_large = int(at_least(tried, difference).sum()) + (0 if exact else 1)
    total = len(tried) + (0 if exact else 1)
    return Grouping(within, between, difference, as_large / total, total)


def _arrangements(labels: NDArray[np.int64]) -> int:
    """The number of different ways to give the models these labels."""
    total = factorial(len(labels))
    for count in np.unique(labels, return_counts=True)[1]:
        total //= factorial(int(count))
    return total


def _orders(labels: NDArray[np.int64], permuted: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Every arrangement once, where there are few; else ``permuted`` at random."""
    m = len(labels)
    if _arrangements(labels) > _ALL_ORDERS:
        random = np.random.default_rng([seed, 4])
        for _ in range(permuted):
            yield random.permutation(m)
        return
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def fill(free: tuple[int, ...], rest: Sequence[NDArray[np.int64]]) -> Iterator[dict[int, int]]:
        if not rest:
            yield {}
            return
        for chosen in combinations(free, len(rest[0])):
            left = tuple(place for place in free if place not in chosen)
            for more in fill(left, rest[1:]):
                yield dict(zip(chosen, rest[0].tolist(), strict=True)) | more

    for arrangement in fill(tuple(range(m)), members):
        yield np.asarray([arrangement[place] for place in range(m)])


def noise_ceiling(
    values: Sequence[NDArray[np.floating]], *, centered: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How well each of m ≥ 3 models agrees with the mean of the others, and of all: (m,) each.

    ``values`` (N,) of each model are what a correlation measure correlates; they are scaled to mean 0
    and length 1 (or to length 1 where not ``centered``) before they are averaged. The mean of the
    first is the lower, of the second the upper bound of what a model could reach that is as near to all
    of them as can be (Nili et al. 2014, PLoS Computational Biology 10:e1003553).
    """
    Z = np.stack([scores(each, centered=centered) for each in values])
    lower, upper = (np.full(len(Z), np.nan) for _ in range(2))
    defined = np.flatnonzero(
        np.isfinite(Z).all(axis=1)
    )  # a head without differences has no part in it
    if len(defined) > 2:
        total = Z[defined].sum(axis=0)
        for model in defined:
            upper[model] = _cosine(Z[model], total)
            lower[model] = _cosine(Z[model], total - Z[model])
    return lower, upper


def _cosine(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / lengths if lengths > 0 else float("nan")


def by_similarity(matrix: NDArray[np.floating]) -> list[int]:
    """An order of m models in which alike ones stand together, of a symmetric m×m matrix of distances.

    The leaf order of an average-linkage tree that brings neighbours nearest (Bar-Joseph, Gifford &
    Jaakkola 2001, Bioinformatics 17). What is NaN counts as the largest distance.
    """
    m = len(matrix)
    distance = np.asarray(matrix, dtype=np.float64).copy()
    known = np.isfinite(distance)
    if m < 3 or not known.any():
        return list(range(m))
    distance[~known] = distance[known].max()
    distance -= min(0.0, float(distance.min()))
    np.fill_diagonal(distance, 0.0)
    condensed = upper(distance)
    return [int(leaf) for leaf in optimal_order(link(condensed, "average"), condensed)]
