"""How far a clade can be trusted: found again in resamples of the dimensions, or in other trees."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.maths.support import resample_weights
from classrel_db.maths.trees.linkage import distances, link
from classrel_db.maths.trees.tree import Tree, best_matches, clade_hashes, leaf_hashes, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from classrel_db.records import Linkage, TreeDistance

NEARLY = 0.8  # the F1 from which a clade counts as nearly there
_CONDENSED_BYTES = 1 << 30  # of distances that resamples worked on side by side may take
_NO_VARIANCE = 1e-12  # of the mean square: what rounding leaves of the variance of equal values


def dimension_support(
    rows: NDArray[np.float32],
    tree: Tree,
    method: Linkage,
    distance: TreeDistance,
    *,
    standardized: bool,
    resamples: int,
    seed: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> NDArray[np.float64]:
    """The share of bootstrap resamples of the dimensions whose tree has each of ``tree.clades``.

    ``rows`` C×D, normalised; each resample draws D of the dimensions with replacement, standardises
    the rows anew where they are ``standardized``, and is clustered as the tree was (Felsenstein 1985,
    Evolution 39; for clusterings Efron, Halloran & Holmes 1996, PNAS 93). ``progress`` is told how many
    are done.
    """
    hashes = leaf_hashes(tree.n)
    wanted = clade_hashes(tree, hashes)
    found = np.zeros(len(wanted), dtype=np.int64)

    def clades(weights: NDArray[np.float64]) -> NDArray[np.uint64]:
        directed = distance != "euclidean"
        again = resampled_rows(rows, weights, standardized=standardized, directed=directed)
        return clade_hashes(tree_of(link(distances(again, distance), method)), hashes)

    condensed = 8 * tree.n * (tree.n - 1) // 2
    workers = max(1, min(os.cpu_count() or 1, 8, _CONDENSED_BYTES // max(1, 3 * condensed)))
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        for block in resample_weights(rows.shape[1], resamples, seed, rows.shape[1]):
            for start in range(0, len(block), workers):
                for each in pool.map(clades, block[start : start + workers]):
                    found += np.isin(wanted, each)
                    done += 1
                progress(done)
    return found / resamples


def resampled_rows(
    rows: NDArray[np.float32],
    weights: NDArray[np.float64],
    *,
    standardized: bool,
    directed: bool = True,
) -> NDArray[np.float64]:
    """Rows whose inner products are those of ``rows`` (n×D) with each dimension as often as weighted.

    Where they are ``directed``, a row that is left with no direction has equal cosines, of 0, with all
    others; else it is 0.
    """
    drawn = np.flatnonzero(weights)
    W = weights[drawn]
    X = rows[:, drawn].astype(np.float64)
    if standardized:
        X -= (X @ W / W.sum())[:, None]
    squares = (X * X) @ W
    if standardized:
        whole = (rows[:, drawn].astype(np.float64) ** 2) @ W
        squares[squares <= _NO_VARIANCE * whole] = 0.0
        # as long as rows of D dimensions that are standardised
        X *= np.sqrt(
            np.divide(W.sum() - 1, squares, out=np.zeros_like(squares), where=squares > 0)
        )[:, None]
    X *= np.sqrt(W)
    if not directed or (squares > 0).all():
        return X
    # each row without direction gets a dimension of its own: at right angles to all the others
    lost = np.flatnonzero(squares <= 0)
    extra = np.zeros((len(X), len(lost)))
    extra[lost, np.arange(len(lost))] = 1.0
    return np.hstack([X, extra])


@dataclass(frozen=True)
class Recovered:
    """Of each of a tree's clades: the share of other trees that have it, and that nearly do."""

    support: NDArray[np.float64]
    nearly: NDArray[np.float64]


def tree_support(
    tree: Tree, others: Sequence[tuple[Tree, NDArray[np.int64]]]
) -> tuple[Recovered, NDArray[np.int64]]:
    """In how many other trees each of ``tree.clades`` is found, and in how many it could have been.

    Each of ``others`` is a tree with the leaf of ``tree`` that each of its leaves is (n',). A clade is
    looked for among the leaves that both have; where fewer than two of them, or all, are in the clade,
    the other tree can't say, and does not count. It is nearly there where some clade has an F1 of at
    least 0.8 with it. NaN where no tree can say.
    """
    place = np.full(len(tree.parent), -1)
    place[tree.clades] = np.arange(len(tree.clades))
    have = np.zeros(len(tree.clades))
    near = np.zeros(len(tree.clades))
    asked = np.zeros(len(tree.clades), dtype=np.int64)
    for other, leaves in others:
        own, old = tree.restricted(leaves)
        of = _clades_over(tree, own, old)
        known = np.flatnonzero(of >= 0)
        _, f1 = best_matches(own, other)
        at = np.full(len(own.parent), -1)
        at[own.clades] = np.arange(len(own.clades))
        found = f1[at[of[known]]]
        asked[known] += 1
        have[known] += found >= 1 - 1e-12
        near[known] += found >= NEARLY
    safe = np.maximum(asked, 1)
    unknown = np.where(asked > 0, 0.0, np.nan)
    return Recovered(have / safe + unknown, near / safe + unknown), asked


def _clades_over(tree: Tree, own: Tree, old: NDArray[np.int64]) -> NDArray[np.int64]:
    """The node of the restricted tree that each of ``tree.clades`` has become; -1 where it is no clade."""
    became = np.full(len(tree.parent), -1)
    became[old] = np.arange(len(old))
    for node in range(tree.n, len(tree.parent)):
        if became[node] < 0:
            left = [became[child] for child in tree.children[node] if became[child] >= 0]
            became[node] = left[0] if left else -1
    found = became[tree.clades]
    is_clade = np.zeros(len(own.parent) + 1, dtype=bool)
    is_clade[own.clades] = True
    return np.where(is_clade[found] & (found >= 0), found, -1)


def majority_rule(
    trees: Sequence[Tree],
) -> tuple[Tree, NDArray[np.float64]]:
    """The tree of the clades that more than half of ``trees`` have, and the share that has each node.

    All over the same n leaves (Margush & McMorris 1981, Bull. Math. Biol. 43). Its heights are NaN;
    the share is 1 for leaves and the root.
    """
    n = trees[0].n
    hashes = leaf_hashes(n)
    each = [clade_hashes(tree, hashes) for tree in trees]
    different, counts = np.unique(np.concatenate(each), return_counts=True)
    kept = different[counts * 2 > len(trees)]
    shares = dict(
        zip(kept.tolist(), (counts[counts * 2 > len(trees)] / len(trees)).tolist(), strict=True)
    )
    members: dict[int, NDArray[np.int64]] = {}
    for tree, own in zip(trees, each, strict=True):
        for node, code in zip(tree.clades, own.tolist(), strict=True):
            if code in shares and code not in members:
                members[code] = tree.leaves(node)
    top = list(range(n))
    parent = [-1] * n
    share = [1.0] * n
    smallest_first = sorted(members, key=lambda code: (len(members[code]), members[code].min()))
    for code, leaves in [*((code, members[code]) for code in smallest_first), (None, np.arange(n))]:
        node = len(parent)
        parent.append(-1)
        share.append(1.0 if code is None else shares[code])
        for leaf in leaves.tolist():
            parent[top[leaf]] = node
            top[leaf] = node
    heights = np.where(np.arange(len(parent)) < n, 0.0, np.nan)
    return Tree(np.asarray(parent), heights, n), np.asarray(share)
