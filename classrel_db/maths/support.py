"""Is a neighbour robust? Bootstrap support over the embedding dimensions.

A neighbour that owes its place to a few of the D dimensions is lost when these are drawn less often;
one that the whole embedding speaks for stays. So the dimensions are drawn D times with replacement,
the neighbours are found anew, and the *support* of a neighbour is the share of such resamples in which
it is still among the k nearest: the bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap,
1993) over the characters instead of the individuals, as Felsenstein (Evolution 39, 1985) has it for
the clades of a tree.

A resample is a vector of weights w, how often each dimension was drawn, and its cosine the weighted
one, Σ w·x·y / sqrt(Σ w·x² · Σ w·y²). Rows that are standardised are standardised anew in each
resample, which makes it the weighted correlation of Pearson. Both are matrix products of the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.normalize import row_blocks
from classrel_db.maths.similarity import as_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_BLOCK_BYTES = 16 << 20  # of each array that is made on the way; blocks of it are fast, too
_NO_VARIANCE = 1e-12  # of the second moment: what rounding leaves of the variance of equal values
_BEHIND = 2.0  # the falling cosine of a row that has no direction: after every other
_SINGLE = 1e-5  # cosines nearer than that are not told apart in single precision


def dimension_support(
    rows: NDArray[np.float32],
    direction: NDArray[np.floating],
    members: NDArray[np.int64],
    k: int,
    *,
    standardized: bool,
    allowed: NDArray[np.int64] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    block_bytes: int = _BLOCK_BYTES,
) -> NDArray[np.float64]:
    """The share of resamples of the dimensions in which each member is among the ``k`` nearest.

    ``rows`` C×D, normalised; ``direction`` (D,) what they are near to, in the same space; ``members``
    (n,) the classes in question, each one of ``allowed``: the classes that compete, rising, by
    default all C. ``standardized`` standardises each resample anew. Returns (n,) in [0, 1].

    In a resample equal cosines rank by class index, and a row that has no direction in it (all of
    its values 0, or equal where they are to be standardised) comes last. A resample that leaves
    ``direction`` itself none is not counted: NaN where that is every one, as it can be in two
    dimensions. The draw depends on ``seed``, ``resamples`` and D alone. ``progress`` is told how many
    resamples are done; ``block_bytes`` bounds each array that is made on the way.
    """
    competing = np.arange(len(rows)) if allowed is None else np.asarray(allowed, dtype=np.int64)
    kept = np.zeros(len(members), dtype=np.int64)
    answered = done = 0
    row_length = max(k + len(members), rows.shape[1])
    for W in resample_weights(rows.shape[1], resamples, seed, row_length, block_bytes):

        def step(share: float, done: int = done, drawn: int = len(W)) -> None:
            if progress is not None:
                progress(done + int(share * drawn))

        near, usable = _among_nearest(
            W, rows, direction, members, k, competing, standardized, step, block_bytes
        )
        kept += near[usable].sum(axis=0)
        answered += int(usable.sum())
        done += len(W)
    return kept / answered if answered else np.full(len(members), np.nan)


def near_by_cosine(
    rows: NDArray[np.float32],
    direction: NDArray[np.floating],
    members: NDArray[np.int64],
    k: int,
    allowed: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Whether each member is among the ``k`` rows nearest to ``direction`` by cosine, exactly.

    The arguments are those of :func:`dimension_support`. Returns (n,); a ``direction`` of zeros has
    nothing near it.
    """
    competing = np.arange(len(rows)) if allowed is None else np.asarray(allowed, dtype=np.int64)
    once = np.ones((1, rows.shape[1]))
    near, usable = _among_nearest(
        once, rows, direction, members, k, competing, False, lambda _share: None, _BLOCK_BYTES
    )
    answer: NDArray[np.bool_] = near[0] & usable[0]
    return answer


def neighbor_support(
    rows: NDArray[np.float32],
    neighbors: NDArray[np.int64],
    *,
    standardized: bool,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    block_bytes: int = _BLOCK_BYTES,
) -> NDArray[np.float64]:
    """The share of resamples of the dimensions in which each neighbour of each class stays one.

    ``rows`` C×D, normalised; ``neighbors`` C×k, of each class the k nearest others. Returns C×k in [0, 1]:
    what :func:`dimension_support` says of each class and its neighbours, all other classes competing, for
    the same ``seed`` and ``resamples``, in a fraction of the time: the cosines of all pairs are one matrix
    product in single precision, and only the classes that this leaves undecided are looked at in double.
    NaN where no resample leaves a class a direction. ``progress`` is told how many resamples are done;
    ``block_bytes`` bounds each array that is made on the way.
    """
    n, k = neighbors.shape
    kept = np.zeros((n, k), dtype=np.int64)
    answered = np.zeros(n, dtype=np.int64)
    done = 0
    columns = np.ascontiguousarray(rows.T)
    for W in resample_weights(rows.shape[1], resamples, seed, block_bytes=block_bytes) if k else ():
        for w in W:
            directions = _directions(w, columns, standardized)
            for block in row_blocks(n, n, block_bytes):
                classes = np.arange(block.start, block.stop)
                near, usable = (
                    _one_by_one(w, rows, classes, neighbors, standardized)
                    if directions is None
                    else _all_at_once(w, rows, classes, neighbors, standardized, directions)
                )
                kept[block] += near & usable[:, None]
                answered[block] += usable
            done += 1
            if progress is not None:
                progress(done)
    shares = np.full((n, k), np.nan)
    np.divide(kept, answered[:, None], out=shares, where=answered[:, None] > 0)
    return shares


def resample_weights(
    dim: int, resamples: int, seed: int, row_length: int = 1, block_bytes: int = _BLOCK_BYTES
) -> Iterator[NDArray[np.float64]]:
    """How often each dimension is drawn in each resample: blocks of n×D whole numbers, D in a row.

    The same whatever the blocks, which leave room for ``row_length`` values a resample.
    """
    random = np.random.default_rng(seed)
    for block in row_blocks(resamples, max(dim, row_length), block_bytes):
        n = block.stop - block.start
        drawn = random.integers(0, dim, size=(n, dim))
        drawn += dim * np.arange(n)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=n * dim)
        yield counts.reshape(n, dim).astype(np.float64)


def _among_nearest(
    W: NDArray[np.float64],
    rows: NDArray[np.float32],
    direction: NDArray[np.floating],
    members: NDArray[np.int64],
    k: int,
    competing: NDArray[np.int64],
    standardized: bool,
    step: Callable[[float], None],
    block_bytes: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For weights R×D: which members are among the k nearest (R×n), which resamples tell (R,).

    The classes pass in blocks; of each resample only the k best so far are kept.
    """
    x = np.asarray(direction, dtype=np.float64)
    if standardized:
        x = x - x.mean()
    own_mean, own_variance = _moments(W, x[None], standardized)
    positions = np.searchsorted(competing, members)
    places = np.empty((len(W), len(members)), dtype=np.int64)
    best = np.empty((len(W), 0), dtype=np.int64)
    for part in row_blocks(len(competing), max(W.shape), block_bytes):
        Y = rows[competing[part]].astype(np.float64)
        if standardized:
            Y -= Y.mean(axis=1, keepdims=True)
        mean, variance = _moments(W, Y, standardized)
        covariance = W @ (Y * x).T / W.shape[1] - own_mean * mean
        found = _places(covariance, np.sqrt(own_variance * variance), competing[part])
        inside = (positions >= part.start) & (positions < part.stop)
        places[:, inside] = found[:, positions[inside] - part.start]
        best = np.concatenate([best, found], axis=1)
        if best.shape[1] > k:
            best = np.partition(best, k - 1, axis=1)[:, :k]
        step(part.stop / len(competing))
    return places <= best.max(axis=1, keepdims=True), own_variance[:, 0] > 0


def _directions(
    w: NDArray[np.float64], columns: NDArray[np.float32], standardized: bool
) -> NDArray[np.float32] | None:
    """Unit columns (D'×C) whose products are the cosines under weights w (D,), of the D' dimensions drawn.

    ``columns`` D×C: a dimension that was drawn is then a row, and is copied whole. None where single
    precision can't tell whether every class has a direction.
    """
    drawn = np.flatnonzero(w)
    weights = w[drawn].astype(np.float32)
    chosen = columns[drawn]
    before = np.einsum("ij,ij,i->j", chosen, chosen, weights)
    if standardized:
        chosen -= weights @ chosen / np.float32(len(w))
    chosen *= np.sqrt(weights)[:, None]
    square = np.einsum("ij,ij->j", chosen, chosen)
    if not (square > _SINGLE * before).all():
        return None
    chosen /= np.sqrt(square)
    return chosen


def _all_at_once(
    w: NDArray[np.float64],
    rows: NDArray[np.float32],
    classes: NDArray[np.int64],
    neighbors: NDArray[np.int64],
    standardized: bool,
    directions: NDArray[np.float32],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """As :func:`_one_by_one`, by one product of the ``directions`` (D'×C)."""
    n, k = neighbors.shape
    # of all with all BLAS computes one half
    own = directions if len(classes) == n else directions[:, classes[0] : classes[-1] + 1]
    cosines = own.T @ directions
    cosines[np.arange(len(classes)), classes] = -_BEHIND  # no class is its own neighbour
    asked = np.take_along_axis(cosines, neighbors[classes], axis=1)
    last, next_one = _about_the_last(cosines, asked.min(axis=1), k)
    near = asked >= last[:, None]
    for at in np.flatnonzero(last - next_one <= _SINGLE):
        row, members = cosines[at], neighbors[classes[at]]
        near[at] = row[members] > last[at] + _SINGLE
        undecided = np.flatnonzero(np.abs(row - last[at]) <= _SINGLE)
        places = k - int((row > last[at] + _SINGLE).sum())
        doubtful = np.flatnonzero(np.isin(members, undecided))
        found, _ = _among_nearest(
            w[None],
            rows,
            rows[classes[at]],
            members[doubtful],
            places,
            undecided,
            standardized,
            lambda _share: None,
            _BLOCK_BYTES,
        )
        near[at, doubtful] = found[0]
    return near, np.ones(len(classes), dtype=np.bool_)


def _about_the_last(
    cosines: NDArray[np.float32], least: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The k-th largest value of each row and the one after it (-2 where that is far below): (m,) each.

    ``least`` (m,): of k values in the row the smallest. Few are larger, and only those need sorting.
    """
    inside = np.flatnonzero(cosines >= (least - 2 * np.float32(_SINGLE))[:, None])
    row = inside // cosines.shape[1]
    counts = np.bincount(row, minlength=len(cosines))
    first = np.cumsum(counts) - counts
    ranked = np.full((len(cosines), max(int(counts.max()), k + 1)), -_BEHIND, dtype=np.float32)
    ranked[row, np.arange(len(row)) - first[row]] = cosines.reshape(-1)[inside]
    ranked.sort(axis=1)
    return ranked[:, -k], ranked[:, -k - 1]


def _one_by_one(
    w: NDArray[np.float64],
    rows: NDArray[np.float32],
    classes: NDArray[np.int64],
    neighbors: NDArray[np.int64],
    standardized: bool,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For weights w (D,) which neighbours of ``classes`` (m,) stay among the k nearest (m×k), and which
    classes have a direction (m,)."""
    every = np.arange(len(rows))
    k = neighbors.shape[1]
    answers = [
        _among_nearest(
            w[None],
            rows,
            rows[each],
            neighbors[each],
            k,
            np.delete(every, each),
            standardized,
            lambda _share: None,
            _BLOCK_BYTES,
        )
        for each in classes
    ]
    near = np.concatenate([near for near, _ in answers])
    return near, np.concatenate([usable for _, usable in answers])


def _places(
    products: NDArray[np.float64], lengths: NDArray[np.float64], classes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Whole numbers R×C that order each row as everywhere: by falling cosine, then by class index.

    The cosine is ``products`` / ``lengths``; where there is no length the place is the last. A float32
    read as an integer keeps its order (for negative ones once it is turned about), so the upper half
    holds the cosine and the lower the class.
    """
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    falling = np.float32(0) - as_cosine(cosines)  # a subtraction leaves no -0
    falling[lengths == 0] = _BEHIND
    bits = falling.view(np.int32)
    bits[bits < 0] ^= 0x7FFFFFFF
    return (bits.astype(np.int64) << 32) | classes


def _moments(
    W: NDArray[np.float64], Y: NDArray[np.float64], standardized: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean (0 unless ``standardized``) and mean square about it of rows C×D: R×C each.

    What is nothing but rounding of 0 is 0.
    """
    square = W @ (Y * Y).T / W.shape[1]
    if not standardized:
        return np.zeros_like(square), square
    mean = W @ Y.T / W.shape[1]
    variance = square - mean * mean
    variance[variance <= _NO_VARIANCE * square] = 0.0
    return mean, variance
