"""Does a head know a taxonomy? Its cosines against how far apart classes stand in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.geometry import Geometry, Pair
from classrel_db.maths.inference import judge
from classrel_db.maths.measures import MEASURES
from classrel_db.maths.measures.correlation import Correlation, Spearman
from classrel_db.maths.resample import p_value, permutations
from classrel_db.maths.trees.compare import of_similarity
from classrel_db.maths.trees.tree import clade_hashes, leaf_hashes
from classrel_db.maths.triplets import agreement, closest_pair, permuted_agreement, triplets

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from classrel_db.maths.ancestry import Ancestry
    from classrel_db.maths.trees.tree import Tree

_MOST_TRIPLET_PERMUTATIONS = 199


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
    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None
    null_value: float | None
    permutations: int
    resamples: int


def compare_with_taxonomy(
    name: str,
    head: Geometry,
    ancestry: Ancestry,
    tree: Tree,
    *,
    permuted: int,
    resampled: int,
    seed: int,
    step: Callable[[int], None] = lambda _done: None,
) -> TaxonomyComparison:
    """One measure of a head on n classes with the taxonomy over them, and the tree of the same."""
    if name == "triplets":
        return _triplets(head, ancestry, min(permuted, _MOST_TRIPLET_PERMUTATIONS), seed)
    if name == "monophyly":
        return _monophyly(ancestry, tree, permuted, seed)
    if name == "path":
        S = -ancestry.path
    else:
        S = ancestry.wu_palmer if name == "wu-palmer" else ancestry.common_depth
    judged = judge(
        _RANKED,
        Pair(head, of_similarity(S), 1),
        permuted=permuted,
        resampled=resampled,
        seed=seed,
        null_value=0.0,
        step=step,
    )
    return TaxonomyComparison(
        name,
        judged.estimate,
        judged.low,
        judged.high,
        judged.p_value,
        judged.null_value,
        judged.permutations,
        judged.resamples,
    )


class _OnceRanked(Spearman):
    """Spearman's correlation, of which a resample takes the ranks as they are.

    A taxonomy has few different distances, and thousands of ties: ranking anew moves next to nothing,
    and takes fifty times as long.
    """

    def resampled(self, pair: Pair, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return Correlation.resampled(self, pair, weights)


_spearman = MEASURES["rsa-spearman"]
_RANKED = _OnceRanked(
    _spearman.name, _spearman.title, _spearman.reading, _spearman.formula, _spearman.source
)


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
        return TaxonomyComparison("monophyly", None, None, None, None, None, 0, 0)
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
        return TaxonomyComparison(name, value, None, None, None, None, 0, 0)
    p = p_value(known, observed)
    return TaxonomyComparison(name, value, None, None, p, float(known.mean()), len(known), 0)


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

    By the difference of the two shares; equal ones by the cosine, then by the pair.
    """
    n = head.n
    far = of_similarity(-ancestry.path)
    count = n * (n - 1) // 2
    by_head = (head.ranks.astype(np.float64) - 0.5) / count
    by_path = (far.ranks.astype(np.float64) - 0.5) / count
    gap = by_head - by_path
    first, second = np.triu_indices(n, 1)

    def top(sign: float) -> list[Surprise]:
        falling = -sign * gap
        most = min(k, count)
        edge = np.partition(falling, most - 1)[most - 1]
        some = np.flatnonzero(falling <= edge)
        chosen = some[np.lexsort((some, -sign * head.pairs[some], falling[some]))][:most]
        return [
            Surprise(int(first[p]), int(second[p]), float(by_head[p]), float(by_path[p]))
            for p in chosen
        ]

    return top(1.0), top(-1.0)
