"""Models in a taxonomy: what is asked of the two, as columns."""

from __future__ import annotations

import shlex
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.catalog.heads import require_bytes
from classrel_db.catalog.tree_rows import Named, ancestry_of
from classrel_db.errors import ArgumentError
from classrel_db.maths.ancestry import Ancestry, kept_together, neighbor_purity
from classrel_db.maths.geometry import LEAST_CLASSES, Geometry
from classrel_db.maths.resample import permutations
from classrel_db.maths.taxonomic import compare_with_taxonomy, surprises
from classrel_db.records import Step
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.forest import Forest
    from classrel_db.catalog.tree_rows import Columns
    from classrel_db.maths.trees.tree import Tree
    from classrel_db.records import StoredModel

_MATRICES = 12  # of n×n in double precision that a comparison with a taxonomy may hold at once


class PlacedModel:
    """The classes of one model that are in a taxonomy, in the order of their concepts."""

    def __init__(
        self, connection: DuckDBPyConnection, forest: Forest, model: StoredModel, taxonomy: str
    ) -> None:
        self.model = model
        self.taxonomy = taxonomy
        self._forest = forest
        named = Named(connection, model, taxonomy)
        self.classes = named.classes
        self.placed = named.placed
        found = sorted(named.placed.of_class, key=lambda index: named.classes[index].concept)
        if len(found) < LEAST_CLASSES:
            missing = next(
                (each.label for each in named.classes if each.index not in named.placed.of_class),
                None,
            )
            reason = (
                ""
                if missing is None
                else f"; a class is found by its concept, and {quoted(missing)}, for one, is not: see "
                f"`classrel taxonomy match {model.name} {taxonomy}`"
            )
            raise ArgumentError(
                f"{len(found)} of the {model.n_classes:,} classes of {model.name} are in the taxonomy "
                f"{quoted(taxonomy)}, and {LEAST_CLASSES} are needed{reason}"
            )
        n, name = len(found), shlex.quote(model.name)
        require_bytes(
            8 * n * n * _MATRICES,
            f"holding {n:,} classes against a taxonomy",
            f"a larger machine can; `classrel query taxon_purity model={name} taxonomy={taxonomy}` and "
            f"`classrel cluster {name} --by graph --taxonomy {taxonomy}` take the stored neighbours alone",
        )
        self.indices = np.asarray(found, dtype=np.int64)

    @property
    def n(self) -> int:
        return len(self.indices)

    @cached_property
    def ancestry(self) -> Ancestry:
        taxon = [self.placed.of_class[index] for index in self.indices.tolist()]
        return ancestry_of(self.placed, np.asarray(taxon, dtype=np.int64))

    @cached_property
    def head(self) -> Geometry:
        return self._forest.heads.geometry(self.model, self.indices)

    @cached_property
    def tree(self) -> Tree:
        """That of all classes, less those that are not in the taxonomy."""
        return self._forest.grown(self.model, optimal=False).tree.restricted(self.indices)[0]

    def label(self, number: int) -> str:
        return self.classes[int(self.indices[number])].label

    def levels(self) -> list[tuple[str, NDArray[np.int64], NDArray[np.bool_]]]:
        """The ranks of the taxonomy, the lowest first, each with the classes that have a taxon of it (n',)
        and which two of them have the same (n'×n'); by depth, "depth 7", where it has no ranks."""
        ranks = self.placed.ranks
        if not any(ranks):
            common = self.ancestry.common_depth
            own = self.ancestry.depth[self.ancestry.taxon]
            return [
                (f"depth {depth}", have, common[np.ix_(have, have)] >= depth)
                for depth in range(int(own.max()), 0, -1)
                if len(have := np.flatnonzero(own >= depth)) > 1
                # a level on which each class stands alone says nothing
                and (common[np.ix_(have, have)] >= depth).sum() > len(have)
            ]
        depths: dict[str, list[int]] = {}
        of: dict[str, NDArray[np.int64]] = {}
        for taxon, rank in enumerate(ranks):
            if rank is None or not len(self.ancestry.members(taxon)):
                continue
            depths.setdefault(rank, []).append(self.placed.depths[taxon])
            own = of.setdefault(rank, np.full(self.n, -1, dtype=np.int64))
            own[self.ancestry.members(taxon)] = taxon
        lowest_first = sorted(of, key=lambda rank: -float(np.mean(depths[rank])))
        found = []
        for rank in lowest_first:
            have = np.flatnonzero(of[rank] >= 0)
            same = of[rank][have][:, None] == of[rank][have][None, :]
            # a rank of which each class has its own says nothing
            if len(have) > 1 and same.sum() > len(have):
                found.append((rank, have, same))
        return found


def comparison_columns(
    placed: Sequence[PlacedModel],
    forest: Forest,
    measures: Sequence[str],
    permuted: int,
    resampled: int,
    seed: int,
) -> Columns:
    """The measures of each model, as columns."""
    rows: list[tuple[Any, ...]] = []
    for each in placed:

        def step(done: int, draws: int, model: str = each.model.name) -> None:
            forest.tell(Step(model, "compare", done, draws))

        found = compare_with_taxonomy(
            measures,
            each.head,
            each.ancestry,
            each.tree,
            permuted=permuted,
            resampled=resampled,
            seed=seed,
            step=step,
        )
        rows += [
            (each.model.name, each.taxonomy, one.measure, each.n, *one.judged, seed)
            for one in found
        ]
    kinds = {
        "model": "VARCHAR", "taxonomy": "VARCHAR", "measure": "VARCHAR", "n": "INTEGER",
        "estimate": "DOUBLE", "low": "DOUBLE", "high": "DOUBLE", "p_value": "DOUBLE",
        "null_value": "DOUBLE", "permutations": "INTEGER", "resamples": "INTEGER", "seed": "BIGINT",
    }  # fmt: skip
    return _columns(kinds, rows)


def clade_columns(placed: PlacedModel) -> Columns:
    """How the model's tree treats each taxon, as columns: the largest taxa first."""
    ancestry = placed.ancestry
    taxa = ancestry.telling
    nodes, f1, over = kept_together(ancestry, taxa, placed.tree)
    sizes = placed.tree.sizes
    rows = []
    for taxon, node, fit, smallest in zip(
        taxa.tolist(), nodes.tolist(), f1.tolist(), over.tolist(), strict=True
    ):
        members = set(ancestry.members(taxon).tolist())
        clade = set(placed.tree.leaves(node).tolist())
        rows.append(
            (
                placed.model.name,
                placed.taxonomy,
                placed.placed.taxa[taxon],
                placed.placed.labels[taxon],
                placed.placed.ranks[taxon],
                placed.placed.depths[taxon],
                len(members),
                len(members) == len(clade) == len(members & clade),
                fit,
                int(sizes[node]),
                int(smallest),
                sorted(placed.label(number) for number in members - clade),
                sorted(placed.label(number) for number in clade - members),
            )
        )
    rows.sort(key=lambda row: (-row[6], row[5], row[2]))
    kinds = {
        "model": "VARCHAR", "taxonomy": "VARCHAR", "taxon": "VARCHAR", "label": "VARCHAR",
        "rank": "VARCHAR", "depth": "INTEGER", "classes": "INTEGER", "monophyletic": "BOOLEAN",
        "f1": "DOUBLE", "clade": "INTEGER", "smallest": "INTEGER", "missing": "VARCHAR[]",
        "intruding": "VARCHAR[]",
    }  # fmt: skip
    return _columns(kinds, rows)


def purity_columns(placed: PlacedModel, k: int, permuted: int, seed: int) -> Columns:
    """The purity of the neighbours at each rank, as columns."""
    rows: list[tuple[Any, ...]] = []
    ranked = any(placed.placed.ranks)
    for rank, have, same in placed.levels():
        near = min(k, len(have) - 1)
        cosine = placed.head.cosine[np.ix_(have, have)]
        falling = -cosine
        np.fill_diagonal(falling, np.inf)
        nearest = np.argsort(falling, axis=1, kind="stable")[:, :near].astype(np.int32)
        purity, chance, most, p = neighbor_purity(
            nearest, same, permutations(len(have), permuted, seed)
        )
        groups = len(np.unique(same, axis=0)) if ranked else None
        ratio = purity / chance if chance > 0 else None
        rows.append(
            (
                placed.model.name,
                placed.taxonomy,
                rank,
                near,
                int((same.sum(axis=1) > 1).sum()),
                groups,
                purity,
                chance,
                most,
                ratio,
                p,
                permuted,
                seed,
            )
        )
    kinds = {
        "model": "VARCHAR", "taxonomy": "VARCHAR", "rank": "VARCHAR", "k": "INTEGER", "n": "INTEGER",
        "groups": "INTEGER", "purity": "DOUBLE", "chance": "DOUBLE", "most": "DOUBLE", "ratio": "DOUBLE",
        "p_value": "DOUBLE", "permutations": "INTEGER", "seed": "BIGINT",
    }  # fmt: skip
    return _columns(kinds, rows)


def surprise_columns(placed: PlacedModel, k: int) -> Columns:
    """The pairs of classes that stand otherwise in the model than in the taxonomy, as columns."""
    closer, farther = surprises(placed.head, placed.ancestry, k)
    rows = []
    for what, pairs in (("closer", closer), ("farther", farther)):
        for rank, pair in enumerate(pairs, 1):
            common = placed.ancestry.common(pair.a, pair.b)
            rows.append(
                (
                    placed.model.name,
                    placed.taxonomy,
                    what,
                    rank,
                    placed.label(pair.a),
                    placed.label(pair.b),
                    float(placed.head.cosine[pair.a, pair.b]),
                    float(placed.ancestry.path[pair.a, pair.b]),
                    placed.placed.labels[common],
                    placed.placed.depths[common],
                    pair.cosine_share,
                    pair.path_share,
                    pair.cosine_share - pair.path_share,
                )
            )
    kinds = {
        "model": "VARCHAR", "taxonomy": "VARCHAR", "surprise": "VARCHAR", "rank": "INTEGER",
        "class_a": "VARCHAR", "class_b": "VARCHAR", "cosine": "DOUBLE", "path": "DOUBLE",
        "common": "VARCHAR", "depth": "INTEGER", "cosine_share": "DOUBLE", "path_share": "DOUBLE",
        "difference": "DOUBLE",
    }  # fmt: skip
    return _columns(kinds, rows)


def _columns(kinds: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> Columns:
    return {
        name: (kind, [row[number] for row in rows])
        for number, (name, kind) in enumerate(kinds.items())
    }
