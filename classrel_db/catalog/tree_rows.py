"""What is asked of trees, as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import ArgumentError
from classrel_db.maths.ancestry import Ancestry, Fit, best_taxa
from classrel_db.maths.geometry import Geometry, square
from classrel_db.maths.trees.cuts import (
    Cut,
    cut_by_height,
    cut_by_number,
    cut_by_silhouette,
    described,
    silhouettes,
)
from classrel_db.maths.trees.linkage import distances
from classrel_db.spelling import did_you_mean, quoted
from classrel_db.storage import read, taxonomies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.forest import Forest, Grown
    from classrel_db.maths.trees.tree import Tree
    from classrel_db.records import CladeSupport, StoredClass, StoredModel

Columns = dict[str, tuple[str, Sequence[Any]]]
DEFAULT_K = 25  # classes of the clade around one
SILHOUETTES = 3.0  # of n×n in double precision that clusters and their silhouettes take


class Named:
    """The classes of a model, or those of them at ``indices``, and the taxa above them in one taxonomy."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        model: StoredModel,
        taxonomy: str,
        indices: Sequence[int] | None = None,
    ) -> None:
        require_taxonomy(connection, taxonomy)
        self.classes: list[StoredClass] = read.stored_classes(connection, [model.model_id])
        self.placed = taxonomies.placed(connection, taxonomy, model.model_id)
        if indices is not None:
            taxa = self.placed.of_class
            here = {i: taxa[c] for i, c in enumerate(indices) if c in taxa}
            self.classes = [self.classes[c] for c in indices]
            self.placed = replace(self.placed, of_class=here)

    @cached_property
    def ancestry(self) -> Ancestry:
        """Over all classes that are named."""
        taxon = np.full(len(self.classes), -1, dtype=np.int64)
        for index, place in self.placed.of_class.items():
            taxon[index] = place
        return ancestry_of(self.placed, taxon)

    def fit(self, tree: Tree) -> Fit:
        """Which taxon fits each node best."""
        return best_taxa(self.ancestry, tree)

    def label(self, taxon: int) -> str | None:
        return self.placed.labels[taxon] if taxon >= 0 else None


def ancestry_of(placed: taxonomies.Placed, taxon: NDArray[np.int64]) -> Ancestry:
    """The taxa over classes whose taxa are at these positions (n,); branches without lengths count 1."""
    parents = [
        [(parent, 1.0 if length is None else length) for parent, length in own]
        for own in placed.parents
    ]
    return Ancestry(parents, np.asarray(placed.depths, dtype=np.int64), taxon)


def require_taxonomy(connection: DuckDBPyConnection, name: str) -> None:
    """Raise ArgumentError where there is no such taxonomy."""
    known = taxonomies.names(connection)
    if name not in known:
        raise ArgumentError(
            f"no taxonomy {quoted(str(name))}{did_you_mean(str(name), known)}; there is "
            f"{', '.join(known) or 'none'}: `classrel taxonomy add FILE --name NAME` adds one"
        )


def tree_rows(
    model: StoredModel,
    grown: Grown,
    support: Mapping[str, CladeSupport],
    named: Named,
    focal: int | None,
    k: int | None,
) -> Columns:
    """The nodes of a tree, or of the part of it that ``focal`` and ``k`` ask for, as columns."""
    tree = grown.tree
    nodes = shown(tree, grown.stored.Z, focal, k)
    fit = named.fit(tree)

    def of(kind: str, column: str) -> list[float | None]:
        found = support.get(kind)
        values = getattr(found, column) if found is not None else None
        if found is None or values is None:
            return [None] * len(nodes)
        known = dict(zip(found.nodes.tolist(), values.tolist(), strict=True))
        return [known.get(node) for node in nodes.tolist()]

    return node_columns(
        [model.name] * len(nodes),
        {
            **joins(grown, nodes),
            "size": tree.sizes[nodes].tolist(),
            "place": tree.spans[nodes, 0].tolist(),
            **names_of(nodes, fit, named, tree.n),
            "support": of("dimensions", "support"),
            "models": of("models", "support"),
            "nearly": of("models", "nearly"),
        },
        grown.stored.method,
        grown.stored.distance,
        support.get("dimensions"),
    )


def joins(grown: Grown, nodes: NDArray[np.int64]) -> dict[str, list[Any]]:
    """Some nodes of a tree, and what each hangs on and joins."""
    tree, Z = grown.tree, grown.stored.Z
    inside = set(nodes.tolist())
    sides = [
        [None, None] if v < tree.n else Z[v - tree.n, :2].astype(int).tolist()
        for v in nodes.tolist()
    ]
    return {
        "node": nodes.tolist(),
        "parent": [v if v in inside else None for v in tree.parent[nodes].tolist()],
        "left_node": [side[0] for side in sides],
        "right_node": [side[1] for side in sides],
        "height": tree.height[nodes].tolist(),
    }


def node_columns(
    models: list[str],
    values: dict[str, list[Any]],
    method: str,
    distance: str,
    resampled: CladeSupport | None = None,
) -> Columns:
    """Nodes as columns; ``resampled`` is where their support comes from."""
    kinds = {
        "node": "INTEGER",
        "parent": "INTEGER",
        "left_node": "INTEGER",
        "right_node": "INTEGER",
    }
    kinds |= {"size": "INTEGER", "place": "INTEGER", "name": "VARCHAR", "concept": "VARCHAR"}
    columns: Columns = {"model": ("VARCHAR", models)}
    columns |= {name: (kinds.get(name, "DOUBLE"), column) for name, column in values.items()}
    columns |= {"method": ("VARCHAR", [method] * len(models))}
    columns |= {"distance": ("VARCHAR", [distance] * len(models))}
    resamples = int(resampled.n[0]) if resampled is not None and len(resampled.n) else None
    seed = resampled.seed if resampled is not None else None
    return columns | {
        "resamples": ("INTEGER", [resamples] * len(models)),
        "seed": ("BIGINT", [seed] * len(models)),
    }


def names_of(nodes: NDArray[np.int64], fit: Fit, named: Named, n: int) -> dict[str, list[Any]]:
    """The names of nodes: of a class its label, of a clade that of its taxon."""
    taxa = [(node, int(fit.taxon[node])) for node in nodes.tolist()]
    return {
        "name": [named.classes[v].label if v < n else named.label(taxon) for v, taxon in taxa],
        "f1": [None if v < n or taxon < 0 else float(fit.f1[v]) for v, taxon in taxa],
        "concept": [named.classes[v].concept if v < n else None for v, _ in taxa],
    }


def shown(
    tree: Tree, Z: NDArray[np.float64], focal: int | None, k: int | None
) -> NDArray[np.int64]:
    """The nodes to show, by their places, the larger first."""
    if focal is not None:
        nodes = around(tree, focal, DEFAULT_K if k is None else k)
    elif k is None:
        nodes = np.arange(len(tree.parent))
    else:
        cut = cut_by_number(Z, tree.order, k)
        above = set(cut.nodes.tolist())
        for node in cut.nodes.tolist():
            while (node := int(tree.parent[node])) >= 0 and node not in above:
                above.add(node)
        nodes = np.asarray(sorted(above))
    spans = tree.spans[nodes]
    return nodes[np.lexsort((-nodes, -spans[:, 1], spans[:, 0]))]


def around(tree: Tree, focal: int, most: int) -> NDArray[np.int64]:
    """The nodes of the largest clade with a leaf in it and at most so many; else of the smallest, in
    which larger branches are not opened."""
    top = focal
    while tree.parent[top] >= 0 and (top < tree.n or tree.sizes[tree.parent[top]] <= most):
        top = int(tree.parent[top])
    shown, waiting = [], [top]
    while waiting:
        node = waiting.pop()
        shown.append(node)
        if node == top or tree.sizes[node] <= most:
            waiting.extend(tree.children[node])
    return np.asarray(sorted(shown))


def cut(
    forest: Forest, model: StoredModel, grown: Grown, k: int | None, height: float | None
) -> Cut:
    """The tree cut by number, by height, or where the silhouette is largest."""
    Z, order = grown.stored.Z, grown.stored.order
    if k is not None:
        return cut_by_number(Z, order, k)
    if height is not None:
        return cut_by_height(Z, order, height)
    if model.n_classes < 3:
        return cut_by_number(Z, order, model.n_classes)
    return cut_by_silhouette(Z, order, _square(forest, model))[0]


def _square(forest: Forest, model: StoredModel) -> NDArray[np.float64]:
    """The tree's distances of all classes with all (C×C)."""
    forest.require(model, SILHOUETTES, "in clusters, with their silhouettes,")
    found: NDArray[np.float64] = square(
        distances(forest.heads.rows(model), forest.distance), model.n_classes, 0.0
    )
    return found


def cluster_rows(
    forest: Forest, model: StoredModel, grown: Grown, cut: Cut, named: Named
) -> Columns:
    """The classes in the clusters that a tree is cut into, as columns."""
    of_class = silhouettes(_square(forest, model), cut.clusters)
    # by concept: of classes that are as central the medoid is the first of them, however a head has them
    leaves = forest.by_concept(model)
    what = described(Geometry(forest.heads.rows(model)[leaves]).cosine, cut.clusters[leaves])
    fit = named.fit(grown.tree)
    return cluster_columns(
        model,
        named,
        Clusters(
            order=grown.stored.order,
            of=cut.clusters,
            medoids=leaves[what.medoid],
            similarity=what.similarity,
            nearest=what.nearest,
            nearest_similarity=what.nearest_similarity,
            fit=Fit(fit.taxon[cut.nodes], fit.f1[cut.nodes], fit.shared[cut.nodes]),
            method=forest.method,
            distance=forest.distance,
            silhouettes=of_class,
            nodes=cut.nodes,
            tie=cut.tie,
        ),
    )


@dataclass(frozen=True)
class Clusters:
    """The classes of a model in K clusters, and what these are like.

    ``order`` (C,) is that in which classes are listed, ``of`` (C,) the cluster of each; by cluster (K,):
    ``medoids``, the mean cosine of their pairs (``similarity``), the ``nearest`` other, -1 where there is
    none, with the mean cosine of the pairs between the two, the ``fit`` of taxa, and, where they are cut from
    a tree, ``nodes``. ``silhouettes`` (C,) where there are any. NaN is what is not known.
    """

    order: NDArray[np.int64]
    of: NDArray[np.int64]
    medoids: NDArray[np.int64]
    similarity: NDArray[np.float64]
    nearest: NDArray[np.int64]
    nearest_similarity: NDArray[np.float64]
    fit: Fit
    method: str
    distance: str
    silhouettes: NDArray[np.float64] | None = None
    nodes: NDArray[np.int64] | None = None
    tie: float | None = None


def cluster_columns(model: StoredModel, named: Named, found: Clusters) -> Columns:
    """The classes in their clusters, as columns."""
    sizes = np.bincount(found.of)
    taxa = found.fit.taxon
    names = cluster_names(named, sizes, found.medoids, taxa)
    labels = [each.label for each in named.classes]
    members = [
        set(named.ancestry.members(taxon).tolist()) if taxon >= 0 else None
        for taxon in taxa.tolist()
    ]
    has = named.ancestry.sizes
    order = found.order.tolist()
    at = found.of[found.order].tolist()
    inside = [members[c] for c in at]
    nothing = np.full(len(order), np.nan)
    of_class = nothing if found.silhouettes is None else found.silhouettes
    means = np.bincount(found.of, weights=of_class) / sizes
    known = taxa >= 0
    purity = np.where(known, found.fit.shared / sizes, np.nan)
    recall = np.where(known, found.fit.shared / np.maximum(has[taxa], 1) if len(has) else 0, np.nan)
    nearest = found.nearest.tolist()

    def each(values: Sequence[Any] | NDArray[Any]) -> list[Any]:
        """A cluster's value for each of its classes; None for what is not known."""
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        listed = [None if value != value else value for value in listed]
        return [listed[c] for c in at]

    return {
        "model": ("VARCHAR", [model.name] * len(order)),
        "cluster": ("INTEGER", [c + 1 for c in at]),
        "name": ("VARCHAR", each(names)),
        "class": ("VARCHAR", [labels[i] for i in order]),
        "concept": ("VARCHAR", [named.classes[i].concept for i in order]),
        "size": ("INTEGER", each(sizes)),
        "medoid": ("VARCHAR", each([labels[i] for i in found.medoids.tolist()])),
        "similarity": ("DOUBLE", each(found.similarity)),
        "silhouette": ("DOUBLE", [None if s != s else s for s in of_class[found.order].tolist()]),
        "cluster_silhouette": ("DOUBLE", each(means)),
        "nearest": ("INTEGER", each([c + 1 if c >= 0 else None for c in nearest])),
        "nearest_name": ("VARCHAR", each([names[c] if c >= 0 else None for c in nearest])),
        "nearest_similarity": ("DOUBLE", each(found.nearest_similarity)),
        "taxon": ("VARCHAR", each([named.placed.taxa[t] if t >= 0 else None for t in taxa])),
        "purity": ("DOUBLE", each(purity)),
        "recall": ("DOUBLE", each(recall)),
        "f1": ("DOUBLE", each(np.where(known, found.fit.f1, np.nan))),
        "fits": (
            "BOOLEAN",
            [
                None if own is None or i not in named.placed.of_class else i in own
                for i, own in zip(order, inside, strict=True)
            ],
        ),
        "node": ("INTEGER", each([None] * len(sizes) if found.nodes is None else found.nodes)),
        "method": ("VARCHAR", [found.method] * len(order)),
        "distance": ("VARCHAR", [found.distance] * len(order)),
        "tie": ("DOUBLE", [found.tie] * len(order)),
    }


def cluster_names(
    named: Named, sizes: NDArray[np.int64], medoids: NDArray[np.int64], taxa: NDArray[np.int64]
) -> list[str]:
    """What to call clusters of these sizes: by their taxa, else by their medoids. Names that several would
    have are told apart by their medoids."""
    central = [named.classes[medoid].label for medoid in medoids.tolist()]
    names = [
        medoid if size == 1 else named.label(taxon) or medoid
        for medoid, size, taxon in zip(central, sizes.tolist(), taxa.tolist(), strict=True)
    ]
    often = Counter(names)
    return [
        f"{name}: {medoid}" if often[name] > 1 and name != medoid else name
        for name, medoid in zip(names, central, strict=True)
    ]
