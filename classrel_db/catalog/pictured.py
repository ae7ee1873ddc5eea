"""The part of a catalog that answers with what is looked at as a whole: matrix, distribution, two trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.catalog.arguments import require_count, require_one_of
from classrel_db.catalog.trees import Trees
from classrel_db.errors import ArgumentError
from classrel_db.records import ORDERS

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from classrel_db.records import Linkage, Order, Progress, SimilarityMatrix, TreeDistance

MOST_ROWS = 2_000  # of a matrix to be looked at: no screen and no page shows more


class Pictured(Trees):
    """What the figures show, as numbers."""

    def similarity_matrix(
        self,
        model: str,
        *,
        order: Order = "class",
        most: int = MOST_ROWS,
        method: Linkage = "ward",
        distance: TreeDistance = "chord",
    ) -> SimilarityMatrix:
        """The cosines and Euclidean distances of all classes with all, in the order of the classes or of
        the leaves of the tree by ``method`` and ``distance``.

        A head of more than ``most`` classes comes in blocks of classes that are neighbours in that order, as
        equal in size as can be: the mean cosine and the root mean square distance of the pairs in each. The
        diagonal is NaN: of one class with itself there is nothing to say; of a block of several it is the
        mean over its pairs. Raises UnknownModelError, ArgumentError.
        """
        from classrel_db.catalog import matrices

        require_one_of("order", order, ORDERS)
        require_count("most", most, 1, None)
        chosen = self._one(model)
        places = (
            self.leaf_order(model, method=method, distance=distance) if order == "leaf" else None
        )
        return matrices.similarity_matrix(self._database.reader, chosen, order, places, most)

    def histogram(self, model: str, *, seed: int = 0) -> DuckDBPyRelation:
        """How the cosines of all pairs of classes of a model are distributed, and what chance would give.

        A row a bin of 0.01. Columns: model, low, high (its edges), pairs, share (of all pairs), null_share
        (of pairs whose rows have their values in random order, drawn with ``seed``: rows with the same
        values that have nothing in common; of 3,000 classes where there are more), n (pairs), mean and
        null_mean (of the cosine), null_high (97.5 % of the null lie below), above (the share of pairs above
        that), seed. Raises UnknownModelError, ArgumentError.
        """
        from classrel_db.catalog import matrices
        from classrel_db.storage import arrays

        require_count("seed", seed, 0, 2**63 - 1)
        chosen = self._one(model)
        return arrays.table(matrices.histogram_columns(self._database.reader, chosen, seed))

    def tanglegram(
        self,
        model_a: str,
        model_b: str,
        *,
        around: str | int | None = None,
        k: int | None = None,
        method: Linkage = "ward",
        distance: TreeDistance = "chord",
        taxonomy: str = "wordnet",
        ancestors: bool = False,
        progress: Progress | None = None,
    ) -> DuckDBPyRelation:
        """The trees of two models on the classes that both have, turned so that like stands beside like.

        With ``around``, a class, only the classes of the largest clade of ``model_a`` with it that has at
        most ``k`` (25). Columns as of :meth:`tree`: the nodes of the one tree and then of the other. Leaves
        are the first nodes, and the same class has the same number in both; ``place`` is its place in the
        untangled order. ``models`` is, of a clade, 1 where the other tree has the very same. Raises
        UnknownModelError, UnknownClassError, AmbiguousClassError, ArgumentError.
        """
        from classrel_db.catalog import tree_agreement, tree_rows
        from classrel_db.catalog.alignment import Alignment
        from classrel_db.storage import arrays

        with self._forest(method, distance, progress) as forest:
            a, b = self._distinct([model_a, model_b])
            if k is not None and around is None:
                raise ArgumentError(
                    "k is for around: classes of the clade at most; give a class too"
                )
            if k is not None:
                require_count("k", k, 2, None)
            focal = None
            if around is not None:
                focal = self._known_now().lookup.find(around, [a])[a.model_id].index
            connection = self._database.reader()
            tree_rows.require_taxonomy(connection, taxonomy)
            columns = tree_agreement.tangled_rows(
                connection,
                forest,
                Alignment(connection, ancestors=ancestors),
                a,
                b,
                taxonomy,
                focal,
                k,
            )
        return arrays.table(columns)
