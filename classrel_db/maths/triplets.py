"""Which two of three classes belong together? Triplets, as two matrices of similarity resolve them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.resample import in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_TRIPLETS = 1_000_000  # all of them up to here, a sample of so many beyond: good to about 0.001
_MOST_PERMUTED = 50_000  # of those, in each permutation
_SLACK = 1e-9  # of similarities that are equal but for rounding, relative


def triplets(n: int, seed: int) -> NDArray[np.int64]:
    """Every three of n things (T×3), or a sample of a million of them where there are more."""
    count = n * (n - 1) * (n - 2) // 6
    if count <= MOST_TRIPLETS:
        first, second = np.triu_indices(n, 1)
        rest = n - 1 - second
        third = np.arange(rest.sum()) - np.repeat(np.cumsum(rest) - rest, rest)
        second = np.repeat(second, rest)
        found = np.stack([np.repeat(first, rest), second, second + 1 + third], axis=1)
        # in no order, so that a part of them is a sample
        return np.asarray(np.random.default_rng([seed, 4]).permutation(found))
    random = np.random.default_rng([seed, 4])
    drawn = np.stack([random.integers(0, n - less, MOST_TRIPLETS) for less in range(3)], axis=1)
    # the second and the third among those that are left
    drawn[:, 1] += drawn[:, 1] >= drawn[:, 0]
    low, high = np.sort(drawn[:, :2], axis=1).T
    drawn[:, 2] += drawn[:, 2] >= low
    drawn[:, 2] += drawn[:, 2] >= high
    return drawn


def closest_pair(S: NDArray[np.floating], three: NDArray[np.int64]) -> NDArray[np.int8]:
    """Which pair of each triplet is the most similar by S (n×n): 0 the first two, 1 the first and the
    last, 2 the last two; -1 where no one pair is."""
    a, b, c = three.T
    values = np.stack([S[a, b], S[a, c], S[b, c]])
    best = np.argmax(values, axis=0)
    largest = values.max(axis=0)
    slack = _SLACK * np.maximum(np.abs(largest), 1e-300)
    alone = (values >= largest - slack).sum(axis=0) == 1
    return np.where(alone, best, -1).astype(np.int8)


def agreement(first: NDArray[np.int8], second: NDArray[np.int8]) -> float:
    """Of the triplets that both resolve, the share that they resolve alike; NaN where there is none."""
    both = (first >= 0) & (second >= 0)
    return float((first[both] == second[both]).mean()) if both.any() else float("nan")


def permuted_agreement(
    first: NDArray[np.int8],
    S: NDArray[np.floating],
    three: NDArray[np.int64],
    orders: NDArray[np.int32],
) -> tuple[NDArray[np.float64], float]:
    """The agreement with S (n×n) after its things are put into each of ``orders`` (B×n): (B,), and
    that in the order as it is; both of the first 50,000 triplets."""
    some, resolved = three[:_MOST_PERMUTED], first[:_MOST_PERMUTED]

    def work(part: NDArray[np.int32]) -> list[float]:
        return [agreement(resolved, closest_pair(S, order[some])) for order in part]

    found = [each for part in in_threads(work, orders) for each in part]
    return np.asarray(found), agreement(resolved, closest_pair(S, some))
