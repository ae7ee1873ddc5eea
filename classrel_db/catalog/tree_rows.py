"""What is asked of trees, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.catalog.heads import require_bytes
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
_MATRICES = 3  # of n×n in double precision that clusters and their silhouettes take


class Named:
    """The classes of a model, and the taxa above them in one taxonomy."""

    def __init__(self, connection: DuckDBPyConnection, model: StoredModel, taxonomy: str) -> None:
        require_taxonomy(connection, taxonomy)
        self.classes: list[StoredClass] = read.stored_classes(connection, [model.model_id])
        self.placed = taxonomies.placed(connection, taxonomy, model.model_id)

    @cached_property
    def ancestry(self) -> Ancestry:
        """Over all classes of the model."""
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
    nodes = _shown(tree, grown.stored.Z, focal, k)
    spans = tree.spans[nodes]
    nodes = nodes[np.lexsort((-nodes, -spans[:, 1], spans[:, 0]))]
    inside = set(nodes.tolist())
    Z, n = grown.stored.Z, tree.n
    fit = named.fit(tree)
    sides = [[None, None] if v < n else Z[v - n, :2].astype(int).tolist() for v in nodes.tolist()]
    parents = [int(tree.parent[v]) if int(tree.parent[v]) in inside else None for v in nodes]

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
            "node": nodes.tolist(),
            "parent": parents,
            "left_node": [side[0] for side in sides],
            "right_node": [side[1] for side in sides],
            "height": tree.height[nodes].tolist(),
            "size": tree.sizes[nodes].tolist(),
            "place": tree.spans[nodes, 0].tolist(),
            **names_of(nodes, fit, named, n),
            "support": of("dimensions", "support"),
            "models": of("models", "support"),
            "nearly": of("models", "nearly"),
        },
        grown.stored.method,
        grown.stored.distance,
        support.get("dimensions"),
    )


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


def _shown(
    tree: Tree, Z: NDArray[np.float64], focal: int | None, k: int | None
) -> NDArray[np.int64]:
    """The nodes to show."""
    if focal is not None:
        return around(tree, focal, DEFAULT_K if k is None else k)
    if k is None:
        return np.arange(len(tree.parent))
    cut = cut_by_number(Z, tree.order, k)
    above = set(cut.nodes.tolist())
    for node in cut.nodes.tolist():
        while (node := int(tree.parent[node])) >= 0 and node not in above:
            above.add(node)
    return np.asarray(sorted(above))


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
    n = model.n_classes
    require_bytes(
        8 * n * n * _MATRICES,
        f"the clusters of {n:,} classes, with their silhouettes,",
        "take a head of fewer classes, or a larger machine",
    )
    found: NDArray[np.float64] = square(
        distances(forest.heads.rows(model), forest.distance), n, 0.0
    )
    return found


def cluster_rows(
    forest: Forest, model: StoredModel, grown: Grown, cut: Cut, named: Named
) -> Columns:
    """The classes in their clusters, as columns."""
    clusters = cut.clusters
    of_class = silhouettes(_square(forest, model), clusters)
    # by concept: of classes that are as central the medoid is the first of them, however a head has them
    leaves = forest.by_concept(model)
    what = described(Geometry(forest.heads.rows(model)[leaves]).cosine, clusters[leaves])
    medoids = leaves[what.medoid]
    fit = named.fit(grown.tree)
    taxa = fit.taxon[cut.nodes]
    sizes = np.bincount(clusters)
    labels = [each.label for each in named.classes]
    names = _distinct_names(
        [
            labels[medoid] if size == 1 else named.label(taxon) or labels[medoid]
            for medoid, size, taxon in zip(medoids, sizes, taxa, strict=True)
        ],
        [labels[medoid] for medoid in medoids],
    )
    members = [
        set(named.ancestry.members(taxon).tolist()) if taxon >= 0 else None
        for taxon in taxa.tolist()
    ]
    means = np.bincount(clusters, weights=of_class) / sizes
    has = named.ancestry.sizes
    order = grown.stored.order
    at = clusters[order].tolist()
    inside = [members[c] for c in at]

    def each(values: Sequence[Any] | NDArray[Any]) -> list[Any]:
        """A cluster's value for each of its classes; None for what is not known."""
        listed = [values[c] for c in at]
        return [None if isinstance(v, float) and np.isnan(v) else v for v in listed]

    shared = fit.shared[cut.nodes]
    known = taxa >= 0
    purity = np.where(known, shared / sizes, np.nan)
    recall = np.where(known, shared / np.maximum(has[taxa], 1) if len(has) else 0.0, np.nan)
    nearest = what.nearest
    return {
        "model": ("VARCHAR", [model.name] * len(order)),
        "cluster": ("INTEGER", [c + 1 for c in at]),
        "name": ("VARCHAR", each(names)),
        "class": ("VARCHAR", [labels[i] for i in order]),
        "concept": ("VARCHAR", [named.classes[i].concept for i in order]),
        "size": ("INTEGER", each(sizes)),
        "medoid": ("VARCHAR", [labels[medoids[c]] for c in at]),
        "similarity": ("DOUBLE", each(what.similarity)),
        "silhouette": ("DOUBLE", [None if np.isnan(of_class[i]) else of_class[i] for i in order]),
        "cluster_silhouette": ("DOUBLE", each(means)),
        "nearest": ("INTEGER", [nearest[c] + 1 if nearest[c] >= 0 else None for c in at]),
        "nearest_name": ("VARCHAR", [names[nearest[c]] if nearest[c] >= 0 else None for c in at]),
        "nearest_similarity": ("DOUBLE", each(what.nearest_similarity)),
        "taxon": ("VARCHAR", [named.placed.taxa[taxa[c]] if known[c] else None for c in at]),
        "purity": ("DOUBLE", each(purity)),
        "recall": ("DOUBLE", each(recall)),
        "f1": ("DOUBLE", each(np.where(known, fit.f1[cut.nodes], np.nan))),
        "fits": (
            "BOOLEAN",
            [
                None if own is None or int(i) not in named.placed.of_class else int(i) in own
                for i, own in zip(order, inside, strict=True)
            ],
        ),
        "node": ("INTEGER", each(cut.nodes)),
        "method": ("VARCHAR", [forest.method] * len(order)),
        "distance": ("VARCHAR", [forest.distance] * len(order)),
        "tie": ("DOUBLE", [cut.tie] * len(order)),
    }


def _distinct_names(names: list[str], medoids: list[str]) -> list[str]:
    """Names of clusters; those that several have are told apart by their medoids."""
    return [
        f"{name}: {medoid}" if names.count(name) > 1 and name != medoid else name
        for name, medoid in zip(names, medoids, strict=True)
    ]
