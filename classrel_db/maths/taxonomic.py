"""Does a head know a taxonomy? Its cosines against how far apart classes stand in one."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.geometry import Geometry, Pair, square
from classrel_db.maths.inference import in_steps
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.measures.correlation import scores, total, weighted
from classrel_db.maths.resample import bootstrap_weights, in_threads, p_value, permutations
from classrel_db.maths.trees.compare import of_similarity
from classrel_db.maths.trees.tree import clade_hashes, leaf_hashes
from classrel_db.maths.triplets import agreement, closest_pair, permuted_agreement, triplets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from classrel_db.maths.ancestry import Ancestry
    from classrel_db.maths.trees.tree import Tree

_TRIPLET_PERMUTATIONS = 99  # at most: each takes a while
_SPEARMAN = MEASURES["rsa-spearman"]
_STRIPES = 6
_NARROW = 200  # classes up to which sums are in double precision: ties are frequent there


@dataclass(frozen=True)
class TaxonomyMeasure:
    """One number for a head and a taxonomy: what it is, how to read it, where it comes from."""

    name: str
    title: str
    reading: str
    formula: str
    source: str


TAXONOMY_MEASURES: dict[str, TaxonomyMeasure] = {
    measure.name: measure
    for measure in (
        TaxonomyMeasure(
            "path",
            "RSA with path length",
            "1: classes are the less alike the longer the way between them; 0: unrelated",
            "Spearman correlation over pairs of the cosine with minus the shortest path",
            "Rada et al. 1989, IEEE Trans. SMC 19; Kriegeskorte et al. 2008, Front. Syst. Neurosci. 2",
        ),
        TaxonomyMeasure(
            "wu-palmer",
            "RSA with Wu-Palmer similarity",
            "1: classes are the more alike the deeper they part, for their own depth; 0: unrelated",
            "Spearman correlation over pairs of the cosine with 2d / (a + b + 2d)",
            "Wu & Palmer 1994, ACL; Kriegeskorte et al. 2008",
        ),
        TaxonomyMeasure(
            "lca-depth",
            "RSA with the depth of the common ancestor",
            "1: classes are the more alike the deeper they part; 0: unrelated",
            "Spearman correlation over pairs of the cosine with the depth of the lowest common ancestor",
            "Kriegeskorte et al. 2008",
        ),
        TaxonomyMeasure(
            "triplets",
            "Triplet agreement",
            "1: of three classes the head finds the same two the most alike; 1/3: chance",
            "share of the triplets with one deepest common ancestor in which that pair's cosine is largest",
            "Critchlow, Pearl & Qian 1996, Syst. Biol. 45",
        ),
        TaxonomyMeasure(
            "monophyly",
            "Taxa kept together",
            "the share of the taxa of two classes or more that are a clade of the head's tree",
            "(taxa whose classes are all and only those under one node) / (taxa)",
            "Hennig 1966, Phylogenetic Systematics",
        ),
    )
}


@dataclass(frozen=True)
class TaxonomyComparison:
    """One measure with its 95 % bootstrap interval over classes, p (one-sided) and the mean of the
    permutations; None where it is not defined or was not asked for."""

    measure: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    null_value: float | None = None
    permutations: int = 0
    resamples: int = 0

    @property
    def judged(self) -> tuple[float | int | None, ...]:
        """All but the measure's name."""
        return astuple(self)[1:]


def compare_with_taxonomy(
    measures: Sequence[str],
    head: Geometry,
    ancestry: Ancestry,
    tree: Tree,
    *,
    permuted: int,
    resampled: int,
    seed: int,
    step: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[TaxonomyComparison]:
    """``measures`` of a head on n classes with the taxonomy over them, and the ``tree`` of the same.

    ``step`` is told how many draws are done, and of how many.
    """
    matrices = {
        name: matrix() for name, matrix in _similarities(ancestry).items() if name in measures
    }
    correlated = _correlations(matrices, head, permuted, resampled, seed, step)
    found = []
    for name in measures:
        if name in correlated:
            found.append(correlated[name])
        elif name == "triplets":
            found.append(_triplets(head, ancestry, min(permuted, _TRIPLET_PERMUTATIONS), seed))
        else:
            found.append(_monophyly(ancestry, tree, permuted, seed))
    return found


def _similarities(ancestry: Ancestry) -> dict[str, Callable[[], NDArray[np.float64]]]:
    """What cosines are correlated with: similarities of all classes with all (n×n)."""
    return {
        "path": lambda: -ancestry.path,
        "wu-palmer": lambda: ancestry.wu_palmer,
        "lca-depth": lambda: ancestry.common_depth,
    }


def _correlations(
    matrices: dict[str, NDArray[np.float64]],
    head: Geometry,
    permuted: int,
    resampled: int,
    seed: int,
    step: Callable[[int, int], None],
) -> dict[str, TaxonomyComparison]:
    """Spearman's correlation of the head's cosines with each of some matrices (n×n), judged."""
    found = {}
    pairs = {name: Pair(head, of_similarity(S), 1) for name, S in matrices.items()}
    estimates = {name: _SPEARMAN.estimate(pair) for name, pair in pairs.items()}
    defined = {name: pair for name, pair in pairs.items() if np.isfinite(estimates[name])}
    draws = (permuted if defined else 0) + 2 * resampled * len(defined)
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        step(done, draws)

    p_values = _mantel(defined, head, permuted, seed, tell)
    weights = bootstrap_weights(head.n, resampled, seed)
    resamples = [_resampled(defined, head, each, tell) for each in (weights, (1 + weights) / 2)]
    for name, estimate in estimates.items():
        if name not in defined:
            found[name] = TaxonomyComparison(name)
            continue
        whole, half = (each[name] for each in resamples)
        interval = _SPEARMAN.interval(estimate, whole, half) if resampled else None
        low, high = interval or (None, None)
        p = p_values.get(name)
        null = None if p is None else 0.0
        found[name] = TaxonomyComparison(name, estimate, low, high, p, null, permuted, resampled)
    return found


def _resampled(
    pairs: dict[str, Pair],
    head: Geometry,
    weights: NDArray[np.float64],
    tell: Callable[[int], None],
) -> dict[str, NDArray[np.float64]]:
    """Each correlation with each class as often as ``weights`` (R×n) say (R,).

    Of the ranks as they are: a taxonomy has few different distances, and thousands of ties. Ranking
    anew would move next to nothing, and take many times as long.
    """
    if not (pairs and len(weights)):
        return dict.fromkeys(pairs, np.empty(0))
    X = _ranks(head)
    x, xx = total(X, weights), total(X * X, weights)
    found = {}
    for name, pair in pairs.items():
        Y = _ranks(pair.b)
        y, xy, yy = (total(M, weights) for M in (Y, X * Y, Y * Y))
        found[name] = weighted(x, y, xy, xx, yy, weights, centered=True)
        tell(len(weights))
    return found


def _ranks(geometry: Geometry) -> NDArray[np.float64]:
    """The ranks of the pairs, scaled for correlation (n×n), 0 on the diagonal."""
    return square(scores(geometry.ranks, centered=True), geometry.n, 0.0)


def _mantel(
    pairs: dict[str, Pair], head: Geometry, permuted: int, seed: int, tell: Callable[[int], None]
) -> dict[str, float]:
    """p of each correlation, of permutations of the head's classes that all of them share."""
    if not (pairs and permuted):
        return {}
    n = head.n
    kind = np.float64 if n <= _NARROW else np.float32
    Y = _ranks(head).astype(kind)
    above = [np.triu(_ranks(pair.b)).astype(kind) for pair in pairs.values()]
    # in stripes of rows, of which only what is above the diagonal is permuted
    edges = [n * stripe // _STRIPES for stripe in range(_STRIPES + 1)]
    stripes = [
        (start, stop, [np.ascontiguousarray(X[start:stop, start:]) for X in above])
        for start, stop in pairwise(edges)
        if stop > start
    ]

    def work(orders: NDArray[np.int32]) -> list[list[float]]:
        rows = np.empty((n // _STRIPES + 1, n), dtype=kind)
        moved = [np.empty_like(parts[0]) for _, _, parts in stripes]
        found = []
        for order in orders.astype(np.intp):
            sums = [0.0] * len(above)
            for (start, stop, parts), taken in zip(stripes, moved, strict=True):
                some = rows[: stop - start]
                np.take(Y, order[start:stop], axis=0, out=some, mode="clip")
                np.take(some, order[start:], axis=1, out=taken, mode="clip")
                for number, part in enumerate(parts):
                    # row by row, and then in double precision
                    by_row: NDArray[np.floating] = np.einsum("ij,ij->i", part, taken)
                    sums[number] += float(by_row.sum(dtype=np.float64))
            found.append(sums)
        return found

    def several(orders: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.asarray([sums for part in in_threads(work, orders) for sums in part])

    itself = np.arange(head.n, dtype=np.int32)[None]
    (observed,) = several(itself)
    null = in_steps(several, permutations(head.n, permuted, seed), tell)
    return {name: p_value(null[:, number], observed[number]) for number, name in enumerate(pairs)}


def _triplets(head: Geometry, ancestry: Ancestry, permuted: int, seed: int) -> TaxonomyComparison:
    three = triplets(ancestry.n, seed)
    known = closest_pair(ancestry.common_depth, three)
    found = agreement(known, closest_pair(head.cosine, three))
    orders = permutations(ancestry.n, permuted, seed)
    null, observed = permuted_agreement(known, head.cosine, three, orders)
    return _judged("triplets", found, null, observed)


def _monophyly(ancestry: Ancestry, tree: Tree, permuted: int, seed: int) -> TaxonomyComparison:
    taxa = [ancestry.members(int(taxon)) for taxon in ancestry.telling]
    if not taxa:
        return TaxonomyComparison("monophyly")
    every = np.concatenate(taxa)
    starts = np.cumsum([0, *(len(members) for members in taxa[:-1])])
    hashes = leaf_hashes(ancestry.n)
    clades = clade_hashes(tree, hashes)

    def kept(own: NDArray[np.uint64]) -> float:
        return float(np.isin(np.bitwise_xor.reduceat(own[every], starts), clades).mean())

    null = [kept(hashes[order]) for order in permutations(ancestry.n, permuted, seed)]
    found = kept(hashes)
    return _judged("monophyly", found, np.asarray(null), found)


def _judged(
    name: str, estimate: float, null: NDArray[np.float64], observed: float
) -> TaxonomyComparison:
    known = null[np.isfinite(null)]
    value = estimate if np.isfinite(estimate) else None
    if value is None or not len(known):
        return TaxonomyComparison(name, value)
    p = p_value(known, observed)
    return TaxonomyComparison(
        name, value, p_value=p, null_value=float(known.mean()), permutations=len(known)
    )


@dataclass(frozen=True)
class Surprise:
    """Two classes (a < b) that stand otherwise in the head than in the taxonomy.

    ``cosine_share`` and ``path_share`` are the shares of all pairs that are less alike in the head, and
    farther apart in the taxonomy (equal ones count half): in [0, 1].
    """

    a: int
    b: int
    cosine_share: float
    path_share: float


def surprises(head: Geometry, ancestry: Ancestry, k: int) -> tuple[list[Surprise], list[Surprise]]:
    """The ``k`` pairs that are closer in the head than in the taxonomy by most, and farther apart.

    Closer: more alike than half of all pairs, and farther apart in the taxonomy than half; farther: the
    other way round. There may be fewer than k. By the difference of the two shares; equal ones by the
    cosine, then by the pair.
    """
    n = head.n
    far = of_similarity(-ancestry.path)
    count = n * (n - 1) // 2
    by_head = (head.ranks.astype(np.float64) - 0.5) / count
    by_path = (far.ranks.astype(np.float64) - 0.5) / count
    # ranks are whole or half: their differences are exact, and equal ones equal
    gap = head.ranks.astype(np.float64) - far.ranks.astype(np.float64)
    first, second = np.triu_indices(n, 1)

    def top(sign: float) -> list[Surprise]:
        # by half of all pairs on the one side, and half on the other: or it is no surprise
        split = np.flatnonzero((sign * (by_head - 0.5) > 0) & (sign * (by_path - 0.5) < 0))
        falling = -sign * gap[split]
        if len(split) > k:
            near = falling <= np.partition(falling, k - 1)[k - 1]
            split, falling = split[near], falling[near]
        chosen = split[np.lexsort((split, -sign * head.pairs[split], falling))][:k]
        return [
            Surprise(int(first[p]), int(second[p]), float(by_head[p]), float(by_path[p]))
            for p in chosen
        ]

    return top(1.0), top(-1.0)
