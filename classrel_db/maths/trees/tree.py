"""A rooted tree over n classes, with two branches at a node or more."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Tree:
    """Nodes 0 to n-1 are the leaves; every other stands after its children, the root last.

    ``parent`` (m,) is each node's, -1 for the root; ``height`` (m,) the distance at which its children
    were joined, 0 for leaves; ``order`` (n,) the leaves so that those of each node are neighbours: that
    of a walk through the children in the order of their numbers, where none is given.
    """

    def __init__(
        self,
        parent: NDArray[np.int64],
        height: NDArray[np.float64],
        n: int,
        order: NDArray[np.int64] | None = None,
    ) -> None:
        self.parent = parent
        self.height = height
        self.n = n
        self._order = order

    @cached_property
    def order(self) -> NDArray[np.int64]:
        return self.walked(self.children) if self._order is None else self._order

    def ordered(self, order: NDArray[np.int64]) -> Tree:
        """The same tree with its leaves in another order."""
        return Tree(self.parent, self.height, self.n, order)

    @cached_property
    def children(self) -> list[list[int]]:
        """The children of each node, [] for leaves."""
        found: list[list[int]] = [[] for _ in self.parent]
        for node, parent in enumerate(self.parent.tolist()):
            if parent >= 0:
                found[parent].append(node)
        return found

    def walked(self, children: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """The leaves (n,) as a walk from the root meets them."""
        leaves = []
        waiting = [len(self.parent) - 1]
        while waiting:
            node = waiting.pop()
            if node < self.n:
                leaves.append(node)
            waiting.extend(reversed(children[node]))
        return np.asarray(leaves, dtype=np.int64)

    @cached_property
    def spans(self) -> NDArray[np.int64]:
        """Of each node the places in ``order`` from which and up to which its leaves stand (m×2)."""
        spans = np.empty((len(self.parent), 2), dtype=np.int64)
        place = np.empty(self.n, dtype=np.int64)
        place[self.order] = np.arange(self.n)
        spans[: self.n, 0], spans[: self.n, 1] = place, place + 1
        firsts, lasts = spans[:, 0].tolist(), spans[:, 1].tolist()
        for node in range(self.n, len(self.parent)):
            own = self.children[node]
            firsts[node] = min(firsts[child] for child in own)
            lasts[node] = max(lasts[child] for child in own)
        spans[:, 0], spans[:, 1] = firsts, lasts
        return spans

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many leaves stand under each node (m,)."""
        found: NDArray[np.int64] = self.spans[:, 1] - self.spans[:, 0]
        return found

    def leaves(self, node: int) -> NDArray[np.int64]:
        """The leaves under a node, in order."""
        first, last = self.spans[node]
        return self.order[first:last]

    @cached_property
    def clades(self) -> NDArray[np.int64]:
        """The nodes that say something: of more than one leaf, and not of all."""
        inner = np.arange(self.n, len(self.parent))
        return inner[self.sizes[inner] < self.n]

    @cached_property
    def cophenetic(self) -> NDArray[np.float64]:
        """The height at which every two leaves first stand under one node (n×n), 0 for a leaf itself."""
        return self._joined(self.height)

    @cached_property
    def common(self) -> NDArray[np.int64]:
        """The lowest node above every two leaves (n×n); the leaf itself on the diagonal."""
        return self._joined(np.arange(len(self.parent)))

    def _joined(self, values: NDArray) -> NDArray:  # type: ignore[type-arg]
        """The value of the lowest node above every two leaves (n×n)."""
        ordered = np.zeros((self.n, self.n), dtype=values.dtype)
        np.fill_diagonal(ordered, values[self.order])
        spans = self.spans.tolist()
        for node in range(self.n, len(self.parent)):
            sides = sorted((spans[child] for child in self.children[node]), reverse=True)
            last = sides[0][1]
            for first, end in sides[1:]:
                ordered[first:end, end:last] = values[node]
                ordered[end:last, first:end] = values[node]
        found = np.empty_like(ordered)
        found[np.ix_(self.order, self.order)] = ordered
        return found

    def restricted(self, kept: NDArray[np.int64]) -> tuple[Tree, NDArray[np.int64]]:
        """What is left of the tree on these leaves, in their order, and which node of it each was (m',).

        Nodes with one child left are left out.
        """
        new = np.full(
            len(self.parent), -1, dtype=np.int64
        )  # the new number of what stands for a node
        new[kept] = np.arange(len(kept))
        parent: list[int] = [-1] * len(kept)
        height = [float(each) for each in self.height[kept]]
        old = kept.tolist()
        stands = new.tolist()
        for node in range(self.n, len(self.parent)):
            own = [stands[child] for child in self.children[node] if stands[child] >= 0]
            if len(own) == 1:
                stands[node] = own[0]
            elif own:
                stands[node] = len(parent)
                for child in own:
                    parent[child] = len(parent)
                parent.append(-1)
                height.append(float(self.height[node]))
                old.append(node)
        inside = np.zeros(self.n, dtype=bool)
        inside[kept] = True
        order = new[self.order[inside[self.order]]]
        restricted = Tree(np.asarray(parent), np.asarray(height), len(kept), order)
        return restricted, np.asarray(old)


def tree_of(Z: NDArray[np.float64], order: NDArray[np.int64] | None = None) -> Tree:
    """The tree of a linkage matrix ((n-1)×4, as scipy has it)."""
    n = len(Z) + 1
    parent = np.full(2 * n - 1, -1, dtype=np.int64)
    nodes = np.arange(n, 2 * n - 1)
    parent[Z[:, 0].astype(np.int64)] = nodes
    parent[Z[:, 1].astype(np.int64)] = nodes
    return Tree(parent, np.concatenate([np.zeros(n), Z[:, 2]]), n, order)


def clade_hashes(tree: Tree, leaf_hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A number for the set of leaves under each of ``tree.clades``, from one for each leaf (n,).

    Equal sets have equal ones. Of 64 random bits a leaf: that unequal sets ever meet, among all the
    clades of a million trees of 1,000 leaves, has a chance of about 1 in 10.
    """
    ends = np.zeros(tree.n + 1, dtype=np.uint64)
    np.bitwise_xor.accumulate(leaf_hashes[tree.order], out=ends[1:])
    spans = tree.spans[tree.clades]
    found: NDArray[np.uint64] = ends[spans[:, 1]] ^ ends[spans[:, 0]]
    return found


def leaf_hashes(n: int) -> NDArray[np.uint64]:
    """64 random bits for each of n leaves (n,), the same each time."""
    return np.random.default_rng([n, 7]).integers(0, 2**64, size=n, dtype=np.uint64)


def overlaps(a: Tree, b: Tree) -> NDArray[np.int32]:
    """How many leaves a clade of the one tree and a clade of the other share (len(a.clades)×…).

    Both over the same n leaves.
    """
    place = np.empty(b.n, dtype=np.int64)
    place[b.order] = np.arange(b.n)
    # how many leaves stand before i in the one order and before j in the other
    before = np.zeros((a.n + 1, b.n + 1), dtype=np.int32)
    before[np.arange(1, a.n + 1), place[a.order] + 1] = 1
    np.cumsum(before, axis=0, out=before)
    np.cumsum(before, axis=1, out=before)
    first, last = a.spans[a.clades].T
    rows = before[last] - before[first]
    first, last = b.spans[b.clades].T
    found: NDArray[np.int32] = rows[:, last] - rows[:, first]
    return found


def best_matches(a: Tree, b: Tree) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The clade of ``b`` most like each clade of ``a``: (its node, F1 in (0, 1]), one of each clade.

    F1 is 2·|A∩B| / (|A|+|B|); 1 where ``b`` has the very same clade. Equal ones: the smaller clade.
    """
    if not len(b.clades):
        return np.full(len(a.clades), -1), np.zeros(len(a.clades))
    shared = overlaps(a, b)
    f1 = 2 * shared / (a.sizes[a.clades][:, None] + b.sizes[b.clades][None, :])
    order = np.argsort(b.sizes[b.clades], kind="stable")
    best = order[np.argmax(f1[:, order], axis=1)]
    return b.clades[best], f1[np.arange(len(best)), best]
