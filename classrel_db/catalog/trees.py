"""The part of a catalog that clusters the classes of a model, and compares the trees of models."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from itertools import combinations
from typing import TYPE_CHECKING

from classrel_db.catalog.arguments import (
    MOST_DRAWS,
    require_count,
    require_measures,
    require_one_of,
)
from classrel_db.catalog.opened import Opened
from classrel_db.errors import ArgumentError, ClassrelWarning, DatabaseError
from classrel_db.records import (
    CLADE_RESAMPLES,
    DEFAULT_PERMUTATIONS,
    LINKAGES,
    TREE_DISTANCES,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Literal

    import numpy as np
    from duckdb import DuckDBPyRelation
    from numpy.typing import NDArray
    from skbio import TreeNode

    from classrel_db.catalog.alignment import Alignment
    from classrel_db.catalog.forest import Forest
    from classrel_db.records import Linkage, Progress, StoredModel, TreeDistance

_CUTS = (
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
)  # of the Fowlkes-Mallows index


class Trees(Opened):
    """Hierarchical clustering of classes.

    ``method`` is the linkage: ward, average, complete, single, weighted, centroid or median.
    ``distance`` is chord, sqrt(2-2cos); condensed, (1-cos)/2 less its minimum; profile, where each row of
    the matrix of (1-cos)/2 is an observation, as in the published code of the method; or euclidean, of
    the normalised rows. A model's tree by a method and a distance is computed once and kept in the
    database; the first time, therefore, the file is written, as by an ingest. Where it can't be
    written the answer is the same and a :class:`ClassrelWarning` says so.
    """

    def tree(
        self,
        model: str,
        *,
        around: str | int | None = None,
        k: int | None = None,
        method: Linkage = "ward",
        distance: TreeDistance = "chord",
        support: bool = False,
        resamples: int = CLADE_RESAMPLES,
        seed: int = 0,
        across: bool = False,
        taxonomy: str = "wordnet",
        by: Literal["tree", "graph"] | None = None,
        neighbors: int | None = None,
        resolution: float | None = None,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """The tree of a model's classes, a row a node: all of it, or as far as ``k`` says.

        With ``around``, a class, the largest clade with it that has at most ``k`` classes (25 by default), or
        the smallest where that has more, what is too large in it as one node; else, with ``k``, the ``k``
        topmost clades and what joins them. Leaves have the numbers of their classes, then come the
        merges in their order.

        Columns: model, node, parent (NULL at the top), left_node, right_node (NULL for a class), height
        (at which the two were joined), size (classes), place (of the first of them in leaf order, from
        0), name (the label; of a clade the taxon of ``taxonomy`` that fits it best), f1 (how well), concept,
        support (of ``resamples`` bootstrap resamples of the dimensions, the share that have the clade),
        models and nearly (of the other models, the shares that have it, and a clade with an F1 of
        at least 0.8 with it), method, distance, resamples and seed (of the support). In the order of
        places, the larger clade first.

        ``support`` and ``across`` compute the shares; NULL where that has never been asked for.

        ``by`` graph, and by default for a head of more classes than a tree is made of unasked (30,000, and
        what memory holds), the leaves are the clusters that :meth:`cluster` finds by graph: the largest,
        with those beyond 2,000 added to the nearest of them. Each stands where the mean of its unit rows
        points, and has its number less 1; size and place still count classes. With ``around`` the leaves are
        the class and its nearest, ``k`` in all, by the stored neighbours. Such trees are not kept, and a
        ClassrelWarning says what they are.

        Raises UnknownModelError, UnknownClassError, AmbiguousClassError, ArgumentError, MissingExtraError.
        """
        from classrel_db.catalog import graph, tree_rows
        from classrel_db.storage import arrays

        said = None

        with self._forest(method, distance, progress) as forest:
            chosen = self._known_now().lookup.models(model)[0]
            require_count("resamples", resamples, 1, MOST_DRAWS)
            require_count("seed", seed, 0, 2**63 - 1)
            if k is not None:
                require_count("k", k, 1, chosen.n_classes, f"classes of {chosen.name}")
            focal = None
            if around is not None:
                focal = self._known_now().lookup.find(around, [chosen])[chosen.model_id].index
            tree_rows.require_taxonomy(self._database.reader(), taxonomy)
            of_graph = _given(neighbors=neighbors, resolution=resolution)
            of_tree = _given(support=support or None, across=across or None)
            joined, fine = graph.require_graph(neighbors, resolution)
            if not graph.goes_by_graph(forest, chosen, by, of_tree=of_tree, of_graph=of_graph):
                grown = forest.grown(chosen)
                found = forest.known_support(chosen)
                if support:
                    found["dimensions"] = forest.support_by_dimensions(
                        chosen, grown.tree, resamples, seed
                    )
                if across:
                    alignment, others = self._others(chosen)
                    found["models"] = forest.support_by_models(
                        chosen, grown.tree, others, alignment
                    )
                named = tree_rows.Named(self._database.reader(), chosen, taxonomy)
                columns = tree_rows.tree_rows(chosen, grown, found, named, focal, k)
            elif focal is None:
                communities = graph.found(forest, chosen, joined, fine, seed)
                columns, said = graph.clade_rows(communities, taxonomy, k)
            elif of_graph:
                raise ArgumentError(
                    f"{of_graph[0]} is for clusters, and around a class there are classes; leave it out"
                )
            else:
                columns, said = graph.neighborhood_rows(forest, chosen, focal, k, taxonomy)
        if said is not None:
            graph.warn(chosen, said, unasked=by is None and not of_graph)
        return arrays.table(columns)

    def cluster(
        self,
        model: str,
        k: int | None = None,
        *,
        height: float | None = None,
        method: Linkage = "ward",
        distance: TreeDistance = "chord",
        taxonomy: str = "wordnet",
        by: Literal["tree", "graph"] | None = None,
        neighbors: int | None = None,
        resolution: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """The classes of a model in clusters: ``k`` of them, those below a ``height`` of the tree, or as
        many as give the largest mean silhouette.

        ``by`` graph, and by default for a head of more classes than a tree is made of unasked (30,000, and
        what memory holds), they are the communities of the graph in which two classes are joined that are
        each among the other's ``neighbors`` (10) nearest, with their cosine for a weight; one of 0 or less
        joins nothing. By modularity, the finer the higher the ``resolution`` (1); drawn with ``seed``; the
        same for any order of the classes, but where cosines tie. A ClassrelWarning says what was found.

        A row a class, in leaf order. Columns: model, cluster (from 1), name (of the cluster: the taxon of
        ``taxonomy`` with the best F1 over its classes, else its medoid), class, concept, size, medoid (the
        class most like the others), similarity (mean cosine of its pairs, NULL for one class),
        silhouette (of the class, by the tree's distance, in [-1, 1]; Rousseeuw 1987), cluster_silhouette
        (the mean of them), nearest (the other cluster with the largest mean cosine), nearest_name,
        nearest_similarity, taxon (its key), purity (the share of the cluster that is of the taxon), recall
        (the share of the taxon's classes that are in the cluster), f1, fits (whether the class is of the
        taxon; NULL where it is not in the taxonomy), node, method, distance, tie (the height of the merges
        between which the cut had to choose; NULL where it had not: then it goes by the order of the
        merges, and a warning says so). A cluster fewer than half of whose classes are in the taxonomy is
        named by its medoid.

        By graph, clusters come from the largest on, classes from the most central on; medoid is the class
        with the largest sum of weights in its cluster, nearest the other cluster with the largest sum of
        weights to it by its size (NULL where no edge leads out), and silhouettes, node and tie, which take
        all pairs or a tree, are NULL; method is leiden, distance cosine.

        Raises UnknownModelError, ArgumentError, and MissingExtraError for a graph without igraph.
        """
        from classrel_db.catalog import graph, tree_rows
        from classrel_db.storage import arrays

        cut = None
        with self._forest(method, distance, progress) as forest:
            chosen = self._known_now().lookup.models(model)[0]
            if k is not None and height is not None:
                raise ArgumentError(
                    "k and a height; give one of them, or neither for the best silhouette"
                )
            if k is not None:
                require_count("k", k, 1, chosen.n_classes, f"classes of {chosen.name}")
            if height is not None and not (
                isinstance(height, int | float) and not isinstance(height, bool) and height >= 0
            ):
                raise ArgumentError(f"height is {height!r}; it is a number from 0 on")
            require_count("seed", seed, 0, 2**63 - 1)
            tree_rows.require_taxonomy(self._database.reader(), taxonomy)
            of_graph = _given(neighbors=neighbors, resolution=resolution)
            of_tree = _given(
                k=k,
                height=height,
                method=None if method == "ward" else method,
                distance=None if distance == "chord" else distance,
            )
            joined, fine = graph.require_graph(neighbors, resolution)
            if graph.goes_by_graph(
                forest, chosen, by, of_tree=of_tree, of_graph=of_graph,
                matrices=tree_rows.SILHOUETTES,
            ):  # fmt: skip
                communities = graph.found(forest, chosen, joined, fine, seed)
                columns = graph.cluster_rows(communities, taxonomy)
            else:
                grown = forest.grown(chosen)
                cut = tree_rows.cut(forest, chosen, grown, k, height)
                named = tree_rows.Named(self._database.reader(), chosen, taxonomy)
                columns = tree_rows.cluster_rows(forest, chosen, grown, cut, named)
        if cut is None:
            graph.warn(chosen, communities.said, unasked=by is None and not of_graph)
        elif cut.tie is not None:
            warnings.warn(
                f"{chosen.name}: merges of the same height, {cut.tie:.6g}, on both sides of the cut into "
                f"{cut.count:,}: another cut would be as good; it goes by the order of the merges",
                ClassrelWarning,
                stacklevel=2,
            )
        return arrays.table(columns)

    def linkage(
        self, model: str, *, method: Linkage = "ward", distance: TreeDistance = "chord"
    ) -> NDArray[np.float64]:
        """The linkage matrix of a model ((C-1)×4) as scipy.cluster.hierarchy has it: two nodes, height,
        size; leaves are class indices. Raises UnknownModelError, ArgumentError."""
        with self._forest(method, distance, None) as forest:
            chosen = self._known_now().lookup.models(model)[0]
            return forest.grown(chosen).stored.Z.copy()

    def leaf_order(
        self, model: str, *, method: Linkage = "ward", distance: TreeDistance = "chord"
    ) -> NDArray[np.int64]:
        """The class indices (C,) in the order of the leaves: optimal for up to 2,000 classes (Bar-Joseph
        et al. 2001), beyond by the axis along which the rows vary most. Raises as :meth:`linkage`."""
        with self._forest(method, distance, None) as forest:
            chosen = self._known_now().lookup.models(model)[0]
            return forest.grown(chosen).stored.order.copy()

    def tree_node(
        self, model: str, *, method: Linkage = "ward", distance: TreeDistance = "chord"
    ) -> TreeNode:
        """The tree as a scikit-bio TreeNode: tips named by concept; the way from one to another is the
        height at which they are joined. Raises as :meth:`linkage`."""
        from classrel_db.maths.trees.skbio_tree import tree_node

        with self._forest(method, distance, None) as forest:
            chosen = self._known_now().lookup.models(model)[0]
            tree = forest.grown(chosen).tree
        concepts: list[str | None] = [None] * len(tree.parent)
        concepts[: tree.n] = self._concepts(chosen)
        above = tree.height[tree.parent]
        return tree_node(tree.parent.tolist(), ((above - tree.height) / 2).tolist(), concepts)

    def compare_trees(
        self,
        *models: str,
        measures: str | Sequence[str] | None = None,
        ks: Sequence[int] | Literal["curve"] | None = None,
        method: Linkage = "ward",
        distance: TreeDistance = "chord",
        permutations: int = DEFAULT_PERMUTATIONS,
        seed: int = 0,
        ancestors: bool = False,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """How far the trees of every two of ``models`` agree on the classes that they share.

        The trees are those of all classes, less those that only one model has. ``measures`` are some of
        :data:`classrel_db.maths.trees.compare.TREE_MEASURES`; ``ks`` the numbers of clusters for
        the Fowlkes-Mallows index, 2, 5, 10, 20 … by default; "curve" is many, from 2 to n-1. Classes are
        the same as in :meth:`compare`.

        Columns: model_a, model_b, measure, k (NULL but for fowlkes-mallows), n (shared classes), estimate,
        p_value (one-sided, of ``permutations`` of the leaves of one tree: is there more agreement than
        if they were matched at random?), null_value (their mean), null_low, null_high (95 % of
        them), permutations (fewer for what takes long), seed, method, distance. NULL where a measure
        is not defined. Raises UnknownModelError, ArgumentError.
        """
        from classrel_db.catalog import tree_agreement
        from classrel_db.catalog.alignment import Alignment
        from classrel_db.maths.trees.compare import TREE_MEASURES
        from classrel_db.storage import arrays

        with self._forest(method, distance, progress) as forest:
            chosen = self._distinct(models)
            require_count("permutations", permutations, 0, MOST_DRAWS)
            require_count("seed", seed, 0, 2**63 - 1)
            names = require_measures(measures, list(TREE_MEASURES), "measure of trees")
            alignment = Alignment(self._database.reader(), ancestors=ancestors)
            rows: list[dict[str, Any]] = []
            for a, b in combinations(chosen, 2):
                rows += tree_agreement.comparison(
                    forest, alignment, a, b, names, ks, permutations, seed
                )
        return arrays.table(tree_agreement.comparison_columns(rows))

    def consensus_tree(
        self,
        models: str | Sequence[str] | None = None,
        *,
        around: str | int | None = None,
        k: int | None = None,
        method: Linkage = "ward",
        distance: TreeDistance = "chord",
        taxonomy: str = "wordnet",
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """The majority-rule consensus of the trees of ``models``, or of all: the clades that more than half
        of them have, on the concepts that all of them share (Margush & McMorris 1981); with ``around`` the
        largest of them with that class and at most ``k`` (25) classes.

        Columns as of :meth:`tree`, with the number of models as ``model``; ``models`` is the share of them
        that have the clade; a node may have more than two children, so left_node and right_node are
        NULL, and there are no heights. Raises UnknownModelError, and ArgumentError for fewer than two
        models or fewer than 4 shared classes.
        """
        from classrel_db.catalog import tree_agreement
        from classrel_db.catalog.alignment import Alignment
        from classrel_db.storage import arrays

        with self._forest(method, distance, progress) as forest:
            chosen = (
                self._known_now().lookup.models()
                if models is None
                else self._distinct([models] if isinstance(models, str) else models, "consensus")
            )
            if len(chosen) < 2:
                raise ArgumentError(
                    f"there is {len(chosen)} model; a consensus needs two or more: ingest another"
                )
            focal = None
            if k is not None:
                require_count("k", k, 1, None)
            if around is not None:
                focal = self._known_now().lookup.find(around, chosen)[chosen[0].model_id].index
            alignment = Alignment(self._database.reader())
            columns = tree_agreement.consensus_rows(
                self._database.reader(), forest, alignment, chosen, taxonomy, focal, k
            )
        return arrays.table(columns)

    @contextmanager
    def _forest(
        self, method: Linkage, distance: TreeDistance, progress: Progress | None
    ) -> Iterator[Forest]:
        """Trees by a method and a distance; what was made of them is written into the file at the end.

        One thread at a time: the file is closed to be written, and the others would be cut short.
        """
        from classrel_db.catalog.forest import Forest
        from classrel_db.maths.trees.linkage import EUCLIDEAN_METHODS, is_euclidean

        require_one_of("method", method, LINKAGES)
        require_one_of("distance", distance, TREE_DISTANCES)
        if method in EUCLIDEAN_METHODS and not is_euclidean(distance):
            _warn(
                f"{method} linkage takes its distances for Euclidean, and {distance} ones are not: its "
                "heights mean nothing by themselves; chord distances are the usual choice"
            )
        if method in {"centroid", "median"}:
            _warn(
                f"{method} linkage may join clades at less than their own height: branches may have "
                "negative lengths"
            )
        if distance == "profile":
            _warn(
                "profile: each row of the matrix of (1-cos)/2 is an observation, as in the published code; "
                "heights are Euclidean distances of such rows"
            )
        with self._making:
            forest = Forest(
                self._database.reader, method, distance, progress or (lambda _step: None)
            )
            yield forest
            if not (forest.fresh or forest.found):
                return
            try:
                with self._written() as connection:
                    forest.keep(connection)
            except DatabaseError as error:
                _warn(f"the tree is not kept in the database: {error}")

    def _concepts(self, model: StoredModel) -> list[str]:
        from classrel_db.storage import comparisons

        return comparisons.concepts(self._database.reader(), model.model_id)

    def _others(self, model: StoredModel) -> tuple[Alignment, list[StoredModel]]:
        """The other models that share enough classes with one. Raises ArgumentError where there is none."""
        from classrel_db.catalog.alignment import Alignment
        from classrel_db.maths.geometry import LEAST_CLASSES

        aligned = Alignment(self._database.reader())
        every = self._known_now().lookup.models()
        others = [
            other
            for other in every
            if other != model and len(aligned.shared(model, other)) >= LEAST_CLASSES
        ]
        if not others:
            raise ArgumentError(
                f"no other model shares {LEAST_CLASSES} classes with {model.name}: there is none to look "
                "for its clades in; ingest another"
            )
        return aligned, others


def _given(**options: object) -> list[str]:
    """The names of the options that have a value."""
    return [name for name, value in options.items() if value is not None]


def _warn(message: str) -> None:
    # past this function, the generator and its context manager, to who called the public method
    warnings.warn(message, ClassrelWarning, stacklevel=5)
