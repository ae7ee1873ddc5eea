"""Agreement of nearest neighbours, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.measures.base import Measure, ratio
from classrel_db.maths.resample import in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.maths.geometry import Pair

PERSISTENCE = 0.9  # of rank-biased overlap: the first ten places carry 86 % of the weight
_DEPTH = 200  # places that are looked at; what lies behind weighs 0.9^200


@dataclass(frozen=True)
class OfNeighbors(Measure):
    """A mean over classes of how far their neighbours agree."""

    def estimate(self, pair: Pair) -> float:
        if pair.is_constant:
            return float("nan")  # nothing is nearer than anything else
        return float(self.of_classes(pair, np.arange(pair.n, dtype=np.int32)).mean())

    def of_classes(self, pair: Pair, order: NDArray[np.int32]) -> NDArray[np.float64]:
        """The agreement of each class (n,) in [0, 1], with the second head's classes in this order."""
        raise NotImplementedError

    def parts(self, pair: Pair) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each class (row) what each other adds to what is shared and to all there is (n×n)."""
        raise NotImplementedError

    def permuted(
        self,
        pair: Pair,
        orders: NDArray[np.int32],
        enough: float = -np.inf,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        def work(part: NDArray[np.int32]) -> list[float]:
            return [float(self.of_classes(pair, order).mean()) for order in part]

        return np.asarray([value for part in in_threads(work, orders) for value in part])

    def resampled(self, pair: Pair, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """With the neighbours that classes have among all, each as often as it is drawn.

        Neighbours are drawn too, not only the classes whose they are: a class that is near to many makes
        their agreement vary together.
        """
        shared, whole = pair.once(self.name, lambda: self.parts(pair))
        above, below = weights @ shared.T, weights @ whole.T  # R×n
        known = below > 0
        of_classes = np.divide(above, below, out=np.zeros_like(above), where=known)
        counted = (weights * known).sum(axis=1)
        sums = np.einsum("ri,ri->r", weights, of_classes)
        return ratio(sums, counted, counted)


@dataclass(frozen=True)
class Jaccard(OfNeighbors):
    """The mean Jaccard index of the sets of the k nearest."""

    def of_classes(self, pair: Pair, order: NDArray[np.int32]) -> NDArray[np.float64]:
        near = pair.a.order[:, : pair.k]
        there = pair.b.places[order[:, None], order[near]]
        both = (there <= pair.k).sum(axis=1)
        share: NDArray[np.float64] = both / (2 * pair.k - both)
        return share

    def parts(self, pair: Pair) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        a, b = ((head.places > 0) & (head.places <= pair.k) for head in (pair.a, pair.b))
        return (a & b).astype(np.float64), (a | b).astype(np.float64)

    def exact_null(self, n: int, k: int) -> float | None:
        # the intersection of two random sets of k among n-1 is hypergeometric
        from scipy.stats import hypergeom

        both = np.arange(k + 1)
        return float(hypergeom(n - 1, k, k).pmf(both) @ (both / (2 * k - both)))


@dataclass(frozen=True)
class RankBiasedOverlap(OfNeighbors):
    """The mean rank-biased overlap of the rankings of all other classes."""

    def of_classes(self, pair: Pair, order: NDArray[np.int32]) -> NDArray[np.float64]:
        weight, depth = _by_place(pair.n)
        there = pair.b.places[order[:, None], order[pair.a.order[:, :depth]]]
        here = np.arange(1, depth + 1, dtype=np.int32)
        sums: NDArray[np.float64] = weight[np.maximum(there, here)].sum(axis=1)
        return sums

    def parts(self, pair: Pair) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        weight, _ = _by_place(pair.n)
        a, b = pair.a.places, pair.b.places
        return weight[np.maximum(a, b)], (weight[a] + weight[b]) / 2

    def exact_null(self, n: int, k: int) -> float | None:  # noqa: ARG002
        # two random rankings of n-1 share d²/(n-1) of their first d places
        depth = min(n - 1, _DEPTH)
        d = np.arange(1, depth + 1)
        shared = (1 - PERSISTENCE) * PERSISTENCE ** (d - 1) @ (d / (n - 1))
        return float(shared + PERSISTENCE**depth * depth / (n - 1))


def overlap_weights(depth: int, persistence: float = PERSISTENCE) -> NDArray[np.float64]:
    """What a class adds to a rank-biased overlap by its worse place in the two rankings (depth,).

    RBO_ext (Webber, Moffat & Zobel 2010, equation 30) sums p^d·X_d/d over the places d, X_d being what
    the first d places share; a class counts in X_d from its worse place on. The sum over all of a
    ranking is 1.
    """
    places = np.arange(1, depth + 1)
    terms = (1 - persistence) * persistence ** (places - 1) / places
    weights: NDArray[np.float64] = terms[::-1].cumsum()[::-1] + persistence**depth / depth
    return weights


def _by_place(n: int) -> tuple[NDArray[np.float64], int]:
    """The weight of each place among n classes (n,), 0 for the class itself, and the last that has one."""
    depth = min(n - 1, _DEPTH)
    weight = np.zeros(n)
    weight[1 : depth + 1] = overlap_weights(depth)
    return weight, depth
