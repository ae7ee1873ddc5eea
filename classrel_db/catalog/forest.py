"""The trees of models: made where they are not stored yet, and what was made kept for the file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.catalog.heads import Heads, require_bytes
from classrel_db.errors import ArgumentError, DatabaseError
from classrel_db.maths.trees.linkage import (
    MOST_OPTIMAL,
    distances,
    link,
    optimal_order,
    projected_order,
    relabelled,
)
from classrel_db.maths.trees.support import dimension_support, tree_support
from classrel_db.maths.trees.tree import Tree, tree_of
from classrel_db.records import CladeSupport, Step, StoredTree
from classrel_db.storage import comparisons, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.alignment import Alignment
    from classrel_db.records import Linkage, Progress, StoredModel, TreeDistance

MOST_LINKED = 30_000  # classes of a tree that is made unasked: a minute, and of twice as many four
# of n×n doubles: the distances, scipy's copy of them, and what is on the way to them
_MATRICES = {"chord": 1.2, "condensed": 1.2, "euclidean": 1.2, "profile": 4.0}


@dataclass(frozen=True)
class Grown:
    """The tree of one model."""

    stored: StoredTree

    @cached_property
    def tree(self) -> Tree:
        return tree_of(self.stored.Z, self.stored.order)


@dataclass
class Forest:
    """Trees by one linkage method and distance; ``fresh`` and ``found`` are not in the file yet."""

    reader: Callable[[], DuckDBPyConnection]
    method: Linkage
    distance: TreeDistance
    tell: Progress
    fresh: list[Grown] = field(default_factory=list)
    found: list[tuple[StoredModel, CladeSupport]] = field(default_factory=list)

    @cached_property
    def heads(self) -> Heads:
        return Heads(self.reader, None)

    def grown(self, model: StoredModel, *, optimal: bool = True) -> Grown:
        """The tree of a model; with its leaves in the ``optimal`` order, if it isn't too large for that."""
        try:
            stored = trees.stored_tree(self.reader(), model, self.method, self.distance)
        except ValueError as error:
            raise DatabaseError(
                f"{model.name}: {error}; ingest the head again with --replace"
            ) from error
        optimal = optimal and model.n_classes <= MOST_OPTIMAL
        if stored is not None and (stored.ordering == "optimal" or not optimal):
            return Grown(stored)
        self.require(model, _MATRICES[self.distance], f"by {self.distance} distance")
        leaves = self.by_concept(model)
        rows = self.heads.rows(model)[leaves]
        condensed = distances(rows, self.distance)
        Z = link(condensed, self.method)
        order = optimal_order(Z, condensed) if optimal else projected_order(tree_of(Z), rows)
        made = Grown(
            StoredTree(
                model.model_id,
                self.method,
                self.distance,
                relabelled(Z, leaves),
                leaves[order],
                "optimal" if optimal else "projection",
            )
        )
        self.fresh.append(made)
        return made

    def require(self, model: StoredModel, matrices: float, what: str) -> None:
        """Raise ArgumentError where so many ``matrices`` of all classes with all do not fit into memory."""
        n, name = model.n_classes, shlex.quote(model.name)
        require_bytes(
            int(8 * n * n * matrices),
            f"the tree of {n:,} classes {what}",
            f"a larger machine can; `classrel tree {name} --by graph` and `classrel cluster {name} --by "
            "graph` take the stored neighbours alone",
        )

    def within_reach(self, model: StoredModel, matrices: float = 0.0) -> bool:
        """Whether the tree of a model is there, or is made unasked, and ``matrices`` beside it fit too."""
        there = (self.method, self.distance) in trees.stored_trees(self.reader(), model)
        if not there:
            matrices = max(matrices, _MATRICES[self.distance])
        try:
            self.require(model, matrices, "")
        except ArgumentError:
            return False
        return there or model.n_classes <= MOST_LINKED

    def by_concept(self, model: StoredModel) -> NDArray[np.int64]:
        """The classes by concept (C,): where distances are equal, no tree depends on how a head has them."""
        concepts = comparisons.concepts(self.reader(), model.model_id)
        return np.asarray(sorted(range(len(concepts)), key=concepts.__getitem__), dtype=np.int64)

    def all_of(self, models: Sequence[StoredModel]) -> list[Tree]:
        """The trees of several models, whose leaves may stand in any order without crossings."""
        found = []
        for number, model in enumerate(models, 1):
            found.append(self.grown(model, optimal=False).tree)
            self.tell(Step("", "trees", number, len(models)))
        return found

    def support_by_dimensions(
        self, model: StoredModel, tree: Tree, resamples: int, seed: int
    ) -> CladeSupport:
        """In what share of ``resamples`` of the dimensions each clade is found; from the file if it is
        there."""
        known = self.known_support(model).get("dimensions")
        if known is not None and known.seed == seed and (known.n == resamples).all():
            return known
        leaves = self.by_concept(model)
        shares = dimension_support(
            self.heads.rows(model)[leaves],
            tree.restricted(leaves)[0],  # all of them: the merges keep their numbers
            self.method,
            self.distance,
            standardized=model.normalization == "standardize",
            resamples=resamples,
            seed=seed,
            progress=lambda done: self.tell(Step(model.name, "clades", done, resamples)),
        )
        n = np.full(len(shares), resamples)
        found = CladeSupport("dimensions", tree.clades, shares, None, n, seed)
        self.found.append((model, found))
        return found

    def support_by_models(
        self,
        model: StoredModel,
        tree: Tree,
        others: Sequence[StoredModel],
        alignment: Alignment,
    ) -> CladeSupport:
        """In what share of the other models each clade is found, of those that have two of its classes;
        from the file if it is there: another model, or another concept map, takes it away."""
        known = self.known_support(model).get("models")
        if known is not None:
            return known
        held = []
        for other, theirs in zip(others, self.all_of(others), strict=True):
            shared = alignment.shared(model, other)
            held.append((theirs.restricted(shared.b)[0], shared.a))
        recovered, asked = tree_support(tree, held)
        some = asked > 0
        found = CladeSupport(
            "models",
            tree.clades[some],
            recovered.support[some],
            recovered.nearly[some],
            asked[some],
            None,
        )
        self.found.append((model, found))
        return found

    def known_support(self, model: StoredModel) -> dict[str, CladeSupport]:
        """What the file knows of the clades of a model's tree."""
        return trees.stored_support(self.reader(), model.model_id, self.method, self.distance)

    def keep(self, connection: DuckDBPyConnection) -> None:
        """Store what was made; the caller holds the transaction."""
        for made in self.fresh:
            tree = made.tree
            trees.store_tree(connection, made.stored, tree.spans[tree.n :, 0])
        for model, support in self.found:
            trees.store_support(connection, model.model_id, self.method, self.distance, support)
