"""How far two trees of the same classes agree: measures, each with what chance would give.

Chance is a random matching of the leaves: the shapes of both trees stay, the names of one are
permuted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.resample import p_value, permutations
from classrel_db.maths.trees.tree import Tree, clade_hashes, leaf_hashes
from classrel_db.maths.triplets import agreement, closest_pair, permuted_agreement, triplets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_POWER = 1.5  # of the distances that entanglement sums
_ROUNDS = 30  # in which untangling may still turn something
_UNTANGLED = 99  # permutations of entanglement, at most: each takes a while
_RESOLVED = 199  # and of triplets


@dataclass(frozen=True)
class TreeMeasure:
    """One number for two trees: what it is, how to read it, where it comes from."""

    name: str
    title: str
    reading: str
    formula: str
    source: str
    at_self: float
    bounds: tuple[float, float]


TREE_MEASURES: dict[str, TreeMeasure] = {
    measure.name: measure
    for measure in (
        TreeMeasure(
            "cophenetic",
            "Cophenetic correlation",
            "1: the same classes are joined at the same heights; 0: nothing in common",
            "Pearson correlation over pairs of the heights at which they are joined",
            "Sokal & Rohlf 1962, Taxon 11",
            1.0,
            (-1.0, 1.0),
        ),
        TreeMeasure(
            "bakers-gamma",
            "Baker's gamma",
            "1: pairs are joined in the same sequence; 0: nothing in common; heights do not count",
            "Spearman correlation over pairs of the heights at which they are joined",
            "Baker 1974, J. Am. Stat. Assoc. 69 (there Goodman and Kruskal's gamma); as in dendextend",
            1.0,
            (-1.0, 1.0),
        ),
        TreeMeasure(
            "robinson-foulds",
            "Robinson-Foulds distance",
            "0: the same clades; 1: no clade in common, as of most trees of many classes",
            "(clades of one tree alone) / (clades of both), without the root and the leaves",
            "Robinson & Foulds 1981, Math. Biosci. 53; rooted, normalised",
            0.0,
            (0.0, 1.0),
        ),
        TreeMeasure(
            "fowlkes-mallows",
            "Fowlkes-Mallows B_k",
            "1: cut into k, both give the same clusters; chance depends on k: see the band",
            "T_k / sqrt(P_k Q_k): pairs together in both, over the mean of those in each",
            "Fowlkes & Mallows 1983, J. Am. Stat. Assoc. 78",
            1.0,
            (0.0, 1.0),
        ),
        TreeMeasure(
            "triplets",
            "Triplet agreement",
            "1: of any three classes the same two are the closest; 1/3: chance",
            "share of the triplets that both trees resolve on which they name the same pair",
            "Critchlow, Pearl & Qian 1996, Syst. Biol. 45",
            1.0,
            (0.0, 1.0),
        ),
        TreeMeasure(
            "entanglement",
            "Entanglement, untangled",
            "0: the leaves stand in one order; branches of both trees have been turned to that end",
            "sum |i - j|^1.5 of the places of each leaf, over that of two opposite orders",
            "Galili 2015, Bioinformatics 31 (dendextend)",
            0.0,
            (0.0, 1.0),
        ),
        TreeMeasure(
            "entanglement-before",
            "Entanglement, as they are",
            "the same of the two leaf orders as they are, each the best for its own tree",
            "sum |i - j|^1.5 of the places of each leaf, over that of two opposite orders",
            "Galili 2015, Bioinformatics 31 (dendextend)",
            0.0,
            (0.0, 1.0),
        ),
    )
}


@dataclass(frozen=True)
class TreeComparison:
    """One measure, with p (one-sided: is there more agreement than by chance?), the mean and the 95 %
    band of the permutations; None where it is not defined or nothing was permuted."""

    measure: str
    k: int | None
    estimate: float | None
    p_value: float | None
    null_value: float | None
    null_low: float | None
    null_high: float | None
    permutations: int


def compare_trees(
    a: Tree,
    b: Tree,
    measures: Sequence[str],
    ks: Sequence[int],
    *,
    permuted: int,
    seed: int,
    step: Callable[[str], None] = lambda _measure: None,
) -> list[TreeComparison]:
    """``measures`` of two trees over the same n leaves; the Fowlkes-Mallows index for each of ``ks``.

    ``step`` is told of each measure when it is done.
    """
    orders = permutations(a.n, permuted, seed)
    found: list[TreeComparison] = []
    for name in measures:
        if name in {"cophenetic", "bakers-gamma"}:
            found.append(_correlation(name, a, b, orders))
        elif name == "robinson-foulds":
            found.append(_robinson_foulds(a, b, orders))
        elif name == "triplets":
            found.append(_triplets(a, b, orders[:_RESOLVED], seed))
        elif name == "fowlkes-mallows":
            found += fowlkes_mallows(a, b, ks, orders)
        elif name == "entanglement":
            found.append(_entanglement(a, b, orders[:_UNTANGLED]))
        else:
            found.append(_entanglement_before(a, b, orders))
        step(name)
    return found


def _judged(
    name: str,
    estimate: float,
    null: NDArray[np.floating],
    *,
    k: int | None = None,
    falling: bool = False,
    observed: float | None = None,
) -> TreeComparison:
    """With p from permutations; ``falling`` where agreement makes the measure smaller."""
    if not np.isfinite(estimate):
        return TreeComparison(name, k, None, None, None, None, None, 0)
    known = null[np.isfinite(null)]
    if not len(known):
        return TreeComparison(name, k, estimate, None, None, None, None, 0)
    sign = -1.0 if falling else 1.0
    p = p_value(sign * known, sign * (estimate if observed is None else observed))
    low, high = np.quantile(known, [0.025, 0.975])
    return TreeComparison(
        name, k, estimate, p, float(known.mean()), float(low), float(high), len(known)
    )


def of_similarity(S: NDArray[np.floating]) -> Geometry:
    """A symmetric matrix of similarities (n×n) as what measures over pairs of classes take."""
    geometry = Geometry(np.zeros((len(S), 1)))
    # ranks and correlations are the same whatever the scale, which single precision bears best at 1
    largest = float(np.abs(S).max(initial=0.0))
    geometry.cosine = (S / largest if largest > 0 else S).astype(np.float32)
    return geometry


def _correlation(name: str, a: Tree, b: Tree, orders: NDArray[np.int32]) -> TreeComparison:
    measure = MEASURES["rsa-pearson" if name == "cophenetic" else "rsa-spearman"]
    pair = Pair(of_similarity(-a.cophenetic), of_similarity(-b.cophenetic), 1)
    estimate = measure.estimate(pair)
    if not np.isfinite(estimate) or not len(orders):
        return _judged(name, estimate, np.empty(0))
    itself = np.arange(a.n, dtype=np.int32)[None]
    # centred products: the correlation itself, as both have unit length, of the N pairs
    observed = float(measure.permuted(pair, itself)[0])
    null = measure.permuted(pair, orders)
    return _judged(name, estimate, null, observed=observed)


def robinson_foulds(a: Tree, b: Tree) -> float:
    """The clades that only one tree has, over those of both; NaN where neither has any."""
    hashes = leaf_hashes(a.n)
    return _foulds(clade_hashes(a, hashes), clade_hashes(b, hashes))


def _foulds(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    every = len(first) + len(second)
    shared = int(np.isin(first, second).sum())
    return (every - 2 * shared) / every if every else float("nan")


def _robinson_foulds(a: Tree, b: Tree, orders: NDArray[np.int32]) -> TreeComparison:
    hashes = leaf_hashes(a.n)
    own = clade_hashes(a, hashes)
    null = np.asarray([_foulds(own, clade_hashes(b, hashes[order])) for order in orders])
    return _judged("robinson-foulds", robinson_foulds(a, b), null, falling=True)


def _triplets(a: Tree, b: Tree, orders: NDArray[np.int32], seed: int) -> TreeComparison:
    three = triplets(a.n, seed)
    # the lowest clade is the closest, whatever the heights
    first, second = (-_sizes_above(tree) for tree in (a, b))
    resolved = closest_pair(first, three)
    estimate = agreement(resolved, closest_pair(second, three))
    null, observed = permuted_agreement(resolved, second, three, orders)
    return _judged("triplets", estimate, null, observed=observed)


def _sizes_above(tree: Tree) -> NDArray[np.float64]:
    """The size of the smallest clade over every two leaves (n×n)."""
    sizes: NDArray[np.float64] = tree.sizes.astype(np.float64)[tree.common]
    return sizes


def clusters_at(tree: Tree, k: int) -> NDArray[np.int64]:
    """The cluster of each leaf (n,) where the tree is cut into ``k``, from the top: where it has
    several branches at a node, into the next larger number that it can be cut into."""
    top = {len(tree.parent) - 1}
    heads = np.full(len(tree.parent), -1, dtype=np.int64)
    for node in range(len(tree.parent) - 1, tree.n - 1, -1):
        if len(top) >= k:
            break
        top.remove(node)
        top.update(tree.children[node])
    for number, node in enumerate(sorted(top)):
        first, last = tree.spans[node]
        heads[tree.order[first:last]] = number
    return heads[: tree.n]


def fowlkes_mallows(
    a: Tree, b: Tree, ks: Sequence[int], orders: NDArray[np.int32]
) -> list[TreeComparison]:
    """B_k for each of ``ks``."""
    found = []
    for k in ks:
        first, second = clusters_at(a, k), clusters_at(b, k)
        null = np.asarray([b_k(first, second[order]) for order in orders])
        found.append(_judged("fowlkes-mallows", b_k(first, second), null, k=k))
    return found


def b_k(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """The Fowlkes-Mallows index of two clusterings of n leaves, in [0, 1]; NaN for n clusters."""
    n = len(first)

    def pairs(labels: NDArray[np.int64]) -> float:
        counts = np.bincount(labels).astype(np.float64)
        return float((counts * counts).sum() - n)

    both = np.sort(first * n + second)
    ends = np.flatnonzero(np.append(both[1:] != both[:-1], True))
    counts = np.diff(ends, prepend=-1).astype(np.float64)
    P, Q = pairs(first), pairs(second)
    return (
        float(((counts * counts).sum() - n) / np.sqrt(P * Q)) if P > 0 and Q > 0 else float("nan")
    )


def entanglement(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """How far two orders of n leaves (n,) are from being the same: 0 if they are, 1 if opposite."""
    n = len(first)
    place = np.empty(n)
    place[second] = np.arange(n)
    worst = (np.abs(2.0 * np.arange(n) - (n - 1)) ** _POWER).sum()
    return float((np.abs(place[first] - np.arange(n)) ** _POWER).sum() / worst)


def untangled(a: Tree, b: Tree) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Leaf orders of both trees that bring like to like, by turning branches, and their entanglement.

    By turns each tree's branches are put into the order of the mean places of their leaves in the
    other, as long as that helps: not sure to be the best there is.
    """
    best = (a.order, b.order, entanglement(a.order, b.order))
    for start in (b.order, b.order[::-1]):
        first, second = a.order, start
        for turn in range(_ROUNDS):
            if turn % 2:
                second = _turned(b, first)
            else:
                first = _turned(a, second)
            now = entanglement(first, second)
            if now < best[2] - 1e-12:
                best = (first, second, now)
            elif turn > 1:
                break
    return best


def _turned(tree: Tree, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The leaf order in which the children of each node stand as their leaves' mean places in ``order``."""
    places = np.empty(tree.n)
    places[order] = np.arange(tree.n)
    sums = places.tolist() + [0.0] * (len(tree.parent) - tree.n)
    sizes = tree.sizes.tolist()
    for node, parent in enumerate(tree.parent.tolist()):
        if parent >= 0:
            sums[parent] += sums[node]
    children = [sorted(own, key=lambda child: sums[child] / sizes[child]) for own in tree.children]
    return tree.walked(children)


def _entanglement(a: Tree, b: Tree, orders: NDArray[np.int32]) -> TreeComparison:
    _, _, estimate = untangled(a, b)
    null = np.asarray([untangled(a, _renamed(b, order))[2] for order in orders])
    return _judged("entanglement", estimate, null, falling=True)


def _entanglement_before(a: Tree, b: Tree, orders: NDArray[np.int32]) -> TreeComparison:
    estimate = entanglement(a.order, b.order)
    null = np.asarray([entanglement(a.order, order[b.order]) for order in orders])
    return _judged("entanglement-before", estimate, null, falling=True)


def _renamed(tree: Tree, order: NDArray[np.int32]) -> Tree:
    """The tree with leaf i called ``order[i]``."""
    n = tree.n
    parent = tree.parent.copy()
    parent[order] = tree.parent[:n]
    return Tree(parent, tree.height, n, order[tree.order].astype(np.int64))
