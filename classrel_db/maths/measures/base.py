"""What a measure of the agreement of two heads is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.resample import dyadic_share, percentile_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.maths.geometry import Pair
    from classrel_db.records import Normalization


@dataclass(frozen=True)
class Measure:
    """One number for two heads on the same classes, and how to judge it.

    ``title`` names it, ``reading`` says in one line how to read it, ``formula`` and ``source`` are for
    whoever cites it. A measure is symmetric in the two heads and does not depend on the order of
    the classes. ``at_self`` is its value for a head against itself, ``bounds`` its range.
    """

    name: str
    title: str
    reading: str
    formula: str
    source: str
    at_self: float = 1.0
    bounds: tuple[float, float] = (-1.0, 1.0)
    uses_k: bool = False
    most_permutations: int | None = None  # by default, where one takes long

    def estimate(self, pair: Pair) -> float:
        """The measure; NaN where it is not defined, as for a head whose cosines are all equal."""
        raise NotImplementedError

    def permuted(
        self, pair: Pair, orders: NDArray[np.int32], enough: float = -np.inf
    ) -> NDArray[np.float64]:
        """What rises with agreement, for each order (B×n) of the second head's classes (B,).

        Any rising function of the measure will do: only the place of the observed order counts. What
        is sure to stay below ``enough`` may come out as any number below it.
        """
        raise NotImplementedError

    def resampled(self, pair: Pair, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The measure with each class as often as ``weights`` (R×n) say (R,).

        Pairs of a class with its own copy are left out. NaN where a resample has no value.
        """
        raise NotImplementedError

    def interval(
        self,
        estimate: float,
        resampled: NDArray[np.float64],
        halfway: NDArray[np.float64] | None,
    ) -> tuple[float, float] | None:
        """The 95 % interval from what :meth:`resampled` gave at the weights w, and at (1+w)/2."""
        share = 1.0 if halfway is None else dyadic_share(resampled, halfway, estimate)
        return percentile_interval(resampled, estimate, self.bounds, share)

    @property
    def over_pairs(self) -> bool:
        """Whether a resample weighs pairs of classes, and not each class by itself."""
        return True

    def exact_null(self, n: int, k: int) -> float | None:  # noqa: ARG002
        """Its expectation where the classes of one head are matched at random; None if simulated."""
        return None


def random_head(
    shape: tuple[int, int], normalization: Normalization, random: np.random.Generator
) -> NDArray[np.float32]:
    """A head of independent normal weights, C×D, normalised as real ones are."""
    from classrel_db.maths.normalize import normalize

    return normalize(random.standard_normal(shape, dtype=np.float32), normalization).rows


def ratio(
    xy: NDArray[np.float64], xx: NDArray[np.float64], yy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """xy / sqrt(xx·yy), NaN where one of the two is not above 0."""
    positive = (xx > 0) & (yy > 0)
    lengths = np.sqrt(np.where(positive, xx * yy, 1.0))
    return np.divide(xy, lengths, out=np.full_like(xy, np.nan), where=positive)
