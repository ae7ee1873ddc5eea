"""Two heads class by class: how alike a class's relations to all others are, and who plays its part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.geometry import is_constant, mean_ranks
from classrel_db.maths.normalize import row_blocks
from classrel_db.maths.resample import at_least, in_threads, permutations

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from classrel_db.maths.geometry import Pair

_STEP = 50


def profile_agreement(
    pair: Pair, permuted: int, seed: int, step: Callable[[int], None] = lambda _done: None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each class, how far both heads order the others alike: (correlations, p-values), (n,) each.

    The Spearman correlation, in [-1, 1], of the class's cosines with the n-1 others in the one head
    and in the other; NaN where one of them is constant. p is one-sided from ``permuted`` random
    matchings of the others, NaN without any.
    """
    X, Y = (_ranked_profiles(cosine) for cosine in (pair.a.cosine, pair.b.cosine))
    found = np.einsum("ij,ij->i", X, Y)
    as_large = np.zeros(pair.n, dtype=np.int64)
    narrow = [np.asarray(each, dtype=np.float32) for each in (X, Y)] if pair.n > 200 else [X, Y]
    orders = permutations(pair.n - 1, permuted, seed)

    def work(part: NDArray[np.int32]) -> NDArray[np.int64]:
        count = np.zeros(pair.n, dtype=np.int64)
        shuffled = np.empty_like(narrow[1])
        for order in part.astype(np.intp):
            np.take(narrow[1], order, axis=1, out=shuffled, mode="clip")
            count += at_least(np.einsum("ij,ij->i", narrow[0], shuffled), found)
        return count

    for start in range(0, permuted, _STEP):
        some = orders[start : start + _STEP]
        as_large += sum(in_threads(work, some))
        step(len(some))
    p = (as_large + 1) / (permuted + 1) if permuted else np.full(pair.n, np.nan)
    return np.clip(found, -1.0, 1.0), np.where(np.isfinite(found), p, np.nan)


def _ranked_profiles(cosine: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each class's ranks of the others (n×(n-1)), each row scaled to mean 0 and length 1."""
    n = len(cosine)
    others = cosine[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    ranks: NDArray[np.float64] = np.stack([mean_ranks(row) for row in others]).astype(np.float64)
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.einsum("ij,ij->i", ranks, ranks))[:, None]
    lengths[[is_constant(row) for row in others]] = 0
    return np.where(lengths > 0, ranks / np.where(lengths > 0, lengths, 1.0), np.nan)


def twin_places(
    anchored_a: NDArray[np.floating], anchored_b: NDArray[np.floating]
) -> NDArray[np.int64]:
    """At which place each shared class of A finds its twin in B when it is left out of the anchors.

    ``anchored_a`` (n×n) holds the cosines of the n shared classes of A with each other, ``anchored_b``
    (C×n) those of all classes of B with the shared ones, the twins of A's classes in its first n
    rows. A class is placed by its cosines with the anchors (relative representations, Moschella et al.
    2023, ICLR); places (n,) are from 1, the twin found, to C. Equal similarities count against it.
    """
    A, B = np.asarray(anchored_a, dtype=np.float64), np.asarray(anchored_b, dtype=np.float64)
    squares = (B**2).sum(axis=1)
    places = np.empty(len(A), dtype=np.int64)
    for block in row_blocks(len(A), len(B)):
        # leaving anchor c out takes one product from each similarity, and one square from each length
        left_out = B[:, block].T
        products = A[block] @ B.T - np.diagonal(A)[block, None] * left_out
        lengths = np.sqrt(np.maximum(squares - left_out**2, 0.0))
        similar = np.divide(
            products, lengths, out=np.full_like(products, -np.inf), where=lengths > 0
        )
        rows = np.arange(len(similar))
        own = similar[rows, rows + block.start]
        places[block] = (similar >= own[:, None]).sum(axis=1)
    return places
