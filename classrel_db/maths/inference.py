"""One measure of one pair of heads with its interval, its p-value and its null."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.measures import random_head
from classrel_db.maths.resample import bootstrap_weights, p_value, permutations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from classrel_db.maths.measures import Measure
    from classrel_db.records import Normalization

_MOST_NULL_HEADS = 100  # pairs of random heads, where the expectation has no formula
_NULL_CLASSES = 5_000  # in all of them together: the more classes, the less one draw varies
_STEP = 100  # permutations or resamples between two looks at the clock, and at Ctrl-C


@dataclass(frozen=True, slots=True)
class Judged:
    """A measure with what is needed to judge it; None where it is not defined or was not asked for."""

    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None
    null_value: float | None
    permutations: int
    resamples: int


def judge(
    measure: Measure,
    pair: Pair,
    *,
    permuted: int,
    resampled: int,
    seed: int,
    null_value: float | None,
    step: Callable[[int], None] = lambda _done: None,
    estimate: float | None = None,
) -> Judged:
    """``measure`` of ``pair``, with p from ``permuted`` orders of the second head's classes and the
    95 % interval from ``resampled`` bootstrap resamples of the classes.

    ``step`` is told how many permutations and resamples have been done since the last time.
    """
    value = measure.estimate(pair) if estimate is None else estimate
    if not math.isfinite(value):
        return Judged(None, None, None, None, null_value, 0, 0)
    p = interval = None
    if permuted:
        orders = permutations(pair.n, permuted, seed)
        itself = np.arange(pair.n, dtype=np.int32)[None]
        (observed,) = measure.permuted(pair, itself)
        enough = observed - 1e-4 * abs(observed)  # far more than rounding can account for
        found = in_steps(lambda part: measure.permuted(pair, part, enough), orders, step)
        p = p_value(found, observed)
    if resampled:
        weights = bootstrap_weights(pair.n, resampled, seed)
        full = in_steps(lambda part: measure.resampled(pair, part), weights, step)
        half = None
        if measure.over_pairs:
            half = in_steps(lambda part: measure.resampled(pair, (1 + part) / 2), weights, step)
        interval = measure.interval(value, full, half)
    low, high = interval or (None, None)
    return Judged(value, low, high, p, null_value, permuted, resampled)


def work_of(measure: Measure, permuted: int, resampled: int) -> int:
    """The permutations and resamples that :func:`judge` will report."""
    return permuted + resampled * (2 if measure.over_pairs else 1)


def null_values(
    measures: Sequence[Measure],
    shapes: tuple[tuple[int, int], tuple[int, int]],
    n: int,
    k: int,
    normalization: Normalization,
    seed: int,
) -> dict[str, float | None]:
    """What each measure is expected to be for two heads that have nothing in common.

    Where the expectation over random matchings of the classes has a formula, that; else the mean over
    pairs of random heads of the same ``shapes`` (C×D), normalised in the same way, of which ``n``
    classes are shared; None where none of them has a value.
    """
    found: dict[str, float | None] = {}
    simulated = []
    for measure in measures:
        exact = measure.exact_null(n, k)
        if exact is None:
            simulated.append(measure)
        else:
            found[measure.name] = exact
    drawn: dict[str, list[float]] = {measure.name: [] for measure in simulated}
    draws = max(4, min(_MOST_NULL_HEADS, _NULL_CLASSES // n))
    for draw in range(draws if simulated else 0):
        # the same two heads whichever of them comes first
        wide = sorted(shapes)
        random = np.random.default_rng([seed, 3, draw])
        first, second = (
            Geometry(random_head(shape, normalization, random)[:n], shape) for shape in wide
        )
        for measure in simulated:
            drawn[measure.name].append(measure.estimate(Pair(first, second, k)))
    for name, values in drawn.items():
        # a random head of two dimensions may have all its rows in one line
        known = [value for value in values if math.isfinite(value)]
        found[name] = float(np.mean(known)) if known else None
    return found


def in_steps(
    work: Callable[[NDArray], NDArray[np.float64]],  # type: ignore[type-arg]
    items: NDArray,  # type: ignore[type-arg]
    step: Callable[[int], None],
) -> NDArray[np.float64]:
    """``work`` on a few of ``items`` at a time."""
    done = []
    for start in range(0, len(items), _STEP):
        part = items[start : start + _STEP]
        done.append(work(part))
        step(len(part))
    return np.concatenate(done)
