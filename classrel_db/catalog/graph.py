"""Clusters and trees of the neighbour graph: what stands in for a tree of more classes than one can have."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from classrel_db.catalog.arguments import require_count, require_one_of
from classrel_db.catalog.forest import Forest, Grown
from classrel_db.catalog.heads import require_bytes
from classrel_db.catalog.tree_rows import (
    DEFAULT_K,
    Clusters,
    Columns,
    Named,
    cluster_columns,
    cluster_names,
    joins,
    node_columns,
    shown,
    tree_rows,
)
from classrel_db.errors import ArgumentError, ClassrelWarning, DatabaseError, MissingExtraError
from classrel_db.maths.graph import (
    Communities,
    class_spans,
    communities,
    group_taxa,
    mean_cosines,
    mutual_graph,
)
from classrel_db.maths.normalize import row_blocks
from classrel_db.maths.similarity import unit
from classrel_db.maths.trees.linkage import distances, link, optimal_order, relabelled
from classrel_db.records import Step, StoredTree
from classrel_db.storage import arrays, graph, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from classrel_db.records import StoredModel

WAYS = ("tree", "graph")
NEIGHBORS = 10  # of each class, in the graph
RESOLUTION = 1.0
MOST_LEAVES = 2_000  # of a tree of clusters: so many can be put in the best order
_BYTES = 300  # an edge takes, in the graph and on the way to it
_VANISHED = 1e-6  # the length of a sum of unit rows that has no direction

_T = TypeVar("_T")


@dataclass(frozen=True)
class Found:
    """The communities of a model's graph. Nodes of ``of`` are classes; those of ``by_concept`` are the
    graph's, which does not depend on how a head has its classes: ``leaves`` (C,) says which is which."""

    forest: Forest
    model: StoredModel
    leaves: NDArray[np.int64]
    by_concept: Communities
    said: str

    @cached_property
    def of(self) -> NDArray[np.int64]:
        """The community of each class (C,)."""
        found = np.empty_like(self.by_concept.of)
        found[self.leaves] = self.by_concept.of
        return found

    @property
    def sizes(self) -> NDArray[np.int64]:
        return self.by_concept.sizes

    @property
    def medoids(self) -> NDArray[np.int64]:
        """The class in each community that its edges hold most (K,)."""
        return self.leaves[self.by_concept.medoids]

    @cached_property
    def sums(self) -> NDArray[np.float64]:
        """The sums of the unit rows of each community (K×D)."""
        model, of = self.model, self.of
        require_bytes(
            8 * len(self.sizes) * model.dim,
            f"the means of {len(self.sizes):,} clusters",
            "take a lower resolution, or a larger machine",
        )
        sums = np.zeros((len(self.sizes), model.dim))

        def add_up() -> None:
            done = 0
            for indices, rows in arrays.row_blocks(self.forest.reader(), model):
                order = np.argsort(of[indices], kind="stable")
                here, first = np.unique(of[indices][order], return_index=True)
                sums[here] += np.add.reduceat(unit(rows)[order], first, axis=0)
                done += len(rows)
                self.forest.tell(Step(model.name, "classes", done, model.n_classes))
            if done != model.n_classes:
                raise ValueError(f"{done:,} of {model.n_classes:,} rows are there")

        _read(model, add_up)
        return sums


def found(
    forest: Forest, model: StoredModel, neighbors: int, resolution: float, seed: int
) -> Found:
    """The communities of the graph in which classes are joined that are each among the other's ``neighbors``
    nearest, the edge weighted by their cosine."""
    k = min(neighbors, model.n_classes - 1)
    require_bytes(
        _BYTES * model.n_classes * k,
        f"the graph of {model.n_classes:,} classes with {k} neighbours each",
        "take fewer neighbours, or a larger machine",
    )
    a, b, cosine = _read(model, graph.near, forest.reader(), model, k)
    leaves = forest.by_concept(model)
    place = np.empty_like(leaves)
    place[leaves] = np.arange(len(leaves))
    joined = mutual_graph(model.n_classes, place[a], place[b], cosine)
    try:
        of = communities(joined, resolution, seed)
    except ImportError as error:
        raise MissingExtraError(
            f"clusters of the neighbour graph of {model.name} need the package igraph; pip install "
            '"classrel-db[graph]" brings it (in a clone: .venv/bin/pip install -e ".[graph]")'
        ) from error
    return Found(forest, model, leaves, of, _said(model, of, k, resolution, seed))


def _said(model: StoredModel, of: Communities, k: int, resolution: float, seed: int) -> str:
    """What the communities are, in a line."""
    said = (
        f"communities of the graph of mutual {k} nearest neighbours (Leiden, resolution {resolution:g}, "
        f"seed {seed})"
    )
    if of.modularity is not None:
        said += f", modularity {of.modularity:.4f}"
    alone = of.graph.isolated
    if alone:
        some = "es have" if alone > 1 else " has"
        said += f"; {alone:,} class{some} no mutual neighbour: a cluster of one"
    if model.recall < 1:
        said += f"; the neighbours were searched with a recall of {model.recall:.3f}"
    return said


def goes_by_graph(
    forest: Forest,
    model: StoredModel,
    by: str | None,
    *,
    of_tree: Sequence[str],
    of_graph: Sequence[str],
    matrices: float = 0.0,
) -> bool:
    """Whether a question goes by the neighbour graph: if ``by`` says so, what was given of it, or, where
    nothing was given that only a tree has, a tree that is out of reach (``matrices`` as there).

    Raises ArgumentError for what does not go together.
    """
    if by is not None:
        require_one_of("by", by, WAYS)
    if of_tree and (of_graph or by == "graph"):
        raise ArgumentError(
            f"{of_tree[0]} is of a tree, and not of the neighbour graph, whose clusters are as fine as the "
            "resolution says (above 1 for more and smaller ones); leave it out"
        )
    if of_graph and by == "tree":
        raise ArgumentError(
            f"{of_graph[0]} is of the neighbour graph, and not of a tree; leave it out, or go by graph"
        )
    if by is not None or of_graph or of_tree:
        return by == "graph" or bool(of_graph)
    return not forest.within_reach(model, matrices)


def warn(model: StoredModel, said: str, *, unasked: bool) -> None:
    """Say what stands in for a tree, and why."""
    reason = (
        f"a tree of {model.n_classes:,} classes is not made unasked (--by tree asks for it); "
        if unasked
        else ""
    )
    warnings.warn(f"{model.name}: {reason}{said}", ClassrelWarning, stacklevel=3)


def require_graph(neighbors: int | None, resolution: float | None) -> tuple[int, float]:
    """The two as they are meant. Raises ArgumentError."""
    k = NEIGHBORS if neighbors is None else neighbors
    require_count("neighbors", k, 1, read.STORED_NEIGHBORS, "are stored of each class")
    fine = RESOLUTION if resolution is None else resolution
    if not (isinstance(fine, int | float) and not isinstance(fine, bool) and 0 < fine < math.inf):
        raise ArgumentError(
            f"resolution is {fine!r}; it is a number above 0: above 1 for more and smaller clusters"
        )
    return k, float(fine)


def cluster_rows(of: Found, taxonomy: str) -> Columns:
    """The classes in their communities, as columns."""
    nearest = of.by_concept.nearest
    sums, sizes = of.sums, of.sizes
    between = np.einsum("ij,ij->i", sums, sums[nearest]) / (sizes * sizes[nearest])
    named = Named(of.forest.reader(), of.model, taxonomy)
    return cluster_columns(
        of.model,
        named,
        Clusters(
            order=of.leaves[of.by_concept.order],
            of=of.of,
            medoids=of.medoids,
            similarity=mean_cosines(sums, sizes),
            nearest=nearest,
            nearest_similarity=np.where(nearest >= 0, between, np.nan),
            fit=group_taxa(named.ancestry, of.of),
            method="leiden",
            distance="cosine",
        ),
    )


def clade_rows(of: Found, taxonomy: str, k: int | None) -> tuple[Columns, str]:
    """The tree of the communities as columns, or its ``k`` topmost clades, and what to say of it.

    A leaf is a community, and stands where the mean of its unit rows points. Of more than 2,000 the largest
    are leaves, and the classes of each other one go with the leaf whose mean is nearest to its own.
    """
    forest, model = of.forest, of.model
    if len(of.sizes) < 2:
        raise ArgumentError(
            f"the graph of {model.name} is one community, and a tree takes two: take a higher resolution"
        )
    leaf = np.arange(len(of.sizes))
    rows = _means(of)
    said = f"leaves are {of.said}"
    if len(leaf) > MOST_LEAVES:
        rest = slice(MOST_LEAVES, None)
        for block in row_blocks(len(leaf) - MOST_LEAVES, MOST_LEAVES):
            part = leaf[rest][block]
            leaf[part] = np.argmax(rows[part] @ rows[:MOST_LEAVES].T, axis=1)
        said += (
            f"; of {len(leaf):,} clusters the {MOST_LEAVES:,} largest, and the "
            f"{int(of.sizes[rest].sum()):,} classes of the others with the nearest of these"
        )
        sums = np.zeros((MOST_LEAVES, model.dim))
        np.add.at(sums, leaf, of.sums)
        merged, lost = _directions(sums)
        merged[lost] = rows[lost]
        rows = merged
    groups = leaf[of.of]
    grown = _grown(forest, model, rows)
    tree = grown.tree
    nodes = shown(tree, grown.stored.Z, None, None if k is None else min(k, tree.n))
    named = Named(forest.reader(), model, taxonomy)
    fit = group_taxa(named.ancestry, groups, tree)
    sizes = np.bincount(groups)
    names: list[str | None] = [
        *cluster_names(named, sizes, of.medoids[: tree.n], fit.taxon[: tree.n])
    ]
    names += [named.label(taxon) for taxon in fit.taxon[tree.n :].tolist()]
    lone = [
        named.classes[medoid].concept if size == 1 else None
        for medoid, size in zip(of.medoids[: tree.n].tolist(), sizes.tolist(), strict=True)
    ]
    spans = class_spans(sizes, tree)
    nothing = [None] * len(nodes)
    columns = node_columns(
        [model.name] * len(nodes),
        {
            **joins(grown, nodes),
            "size": (spans[nodes, 1] - spans[nodes, 0]).tolist(),
            "place": spans[nodes, 0].tolist(),
            "name": [names[v] for v in nodes.tolist()],
            "f1": [float(fit.f1[v]) if fit.taxon[v] >= 0 else None for v in nodes.tolist()],
            "concept": [lone[v] if v < tree.n else None for v in nodes.tolist()],
            **dict.fromkeys(("support", "models", "nearly"), nothing),
        },
        forest.method,
        forest.distance,
    )
    return columns, said


def neighborhood_rows(
    forest: Forest, model: StoredModel, focal: int, k: int | None, taxonomy: str
) -> tuple[Columns, str]:
    """The tree of a class and its nearest, ``k`` (25) in all, as columns, and what to say of it."""
    most = min(model.n_classes, read.STORED_NEIGHBORS + 1)
    if k is not None:
        require_count("k", k, 2, most, "classes: one and its stored neighbours")
    wanted = min(DEFAULT_K, most) if k is None else k
    near = _read(model, graph.nearest_of, forest.reader(), model, focal, wanted - 1)
    inside = sorted({focal, *near})
    rows = _read(model, arrays.rows_at, forest.reader(), model, inside)
    named = Named(forest.reader(), model, taxonomy, inside)
    by_concept = sorted(range(len(inside)), key=lambda i: named.classes[i].concept)
    leaves = np.asarray(by_concept, dtype=np.int64)
    columns = tree_rows(model, _grown(forest, model, rows, leaves), {}, named, None, None)
    # classes by their own numbers, and clades from the number of classes on
    m, n = len(inside), model.n_classes
    for name in ("node", "parent", "left_node", "right_node"):
        kind, nodes = columns[name]
        called = [None if v is None else inside[v] if v < m else n + v - m for v in nodes]
        columns[name] = (kind, called)
    label = named.classes[inside.index(focal)].label
    said = f"this is the tree of {label} and its {m - 1} nearest classes alone"
    if model.recall < 1:
        said += f", which were searched with a recall of {model.recall:.3f}"
    return columns, said


def _grown(
    forest: Forest,
    model: StoredModel,
    rows: NDArray[np.floating],
    leaves: NDArray[np.int64] | None = None,
) -> Grown:
    """The tree of some rows, taken in the order of ``leaves``: one that is not to be stored."""
    if leaves is None:
        leaves = np.arange(len(rows))
    condensed = distances(rows[leaves], forest.distance)
    Z = link(condensed, forest.method)
    order = leaves[optimal_order(Z, condensed)]
    Z = relabelled(Z, leaves)
    return Grown(StoredTree(model.model_id, forest.method, forest.distance, Z, order, "optimal"))


def _means(of: Found) -> NDArray[np.float64]:
    """Where the mean of the unit rows of each community points (K×D); where it has no direction, where its
    medoid does."""
    rows, lost = _directions(of.sums)
    if len(lost):
        order = np.argsort(of.medoids[lost])
        medoids = of.medoids[lost][order].tolist()
        stored = _read(of.model, arrays.rows_at, of.forest.reader(), of.model, medoids)
        rows[lost[order]] = unit(stored)
    return rows


def _directions(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums of unit rows (K×D) at unit length, and which of them have no direction."""
    lengths = np.linalg.norm(sums, axis=1)
    return sums / np.maximum(lengths, _VANISHED)[:, None], np.flatnonzero(lengths <= _VANISHED)


def _read(model: StoredModel, reading: Callable[..., _T], *given: Any) -> _T:
    """What ``reading`` finds in the database. Raises DatabaseError for what is not as it was written."""
    try:
        return reading(*given)
    except ValueError as error:
        raise DatabaseError(
            f"{model.name}: {error}; ingest the head again with --replace"
        ) from error
